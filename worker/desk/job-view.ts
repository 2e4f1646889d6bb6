/** How far a job is, for whoever has its link. */

import { CaptionApiError, type CaptionClient } from "../../client/index.ts";
import { at, make } from "./elements.ts";

export async function showJob(client: CaptionClient, id: string): Promise<void> {
  at("job", "section").hidden = false;
  at("job-title", "h2").textContent = `Job ${id}`;
  const progress = at("job-progress", "progress");
  const text = at("job-text", "p");
  const href = `/v1/jobs/${encodeURIComponent(id)}/results?format=csv`;
  at("job-results", "p").replaceChildren(
    make("a", { href, download: `${id}.csv` }, "Results so far, as CSV"),
  );
  try {
    for await (const { status, counts, paused, seconds_left: left } of client.jobs.follow(id)) {
      progress.max = counts.total;
      progress.value = counts.total - counts.waiting;
      const parts = [
        `${counts.total - counts.waiting} of ${counts.total} done`,
        ...(counts.failed > 0 ? [`${counts.failed} failed`] : []),
        ...(counts.cancelled > 0 ? [`${counts.cancelled} cancelled`] : []),
        ...(paused === null
          ? []
          : [`paused until ${new Date(paused.until).toLocaleTimeString()} (${paused.reason})`]),
        ...(left === null ? [] : [`about ${left} s left`]),
      ];
      text.textContent = `${status}: ${parts.join(", ")}.`;
    }
  } catch (error) {
    text.textContent =
      error instanceof CaptionApiError
        ? `${error.problem.title}. ${error.problem.detail}`
        : "The service could not be reached. Reload the page to go on.";
  }
}
