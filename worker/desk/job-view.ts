/** Shows how far a job has got, to anybody who has its link. */

import { CaptionApiError, type CaptionClient } from "../../client/index.ts";
import { at, make, save } from "./elements.ts";

const ASK_AGAIN_AFTER_MS = 5_000;

export interface JobView {
  readonly client: CaptionClient;
  /** Empty if the service is open. */
  readonly apiKey: string;
  /** Aborts when another job is shown, or this one with another key. */
  readonly signal: AbortSignal;
  readonly say: (words: string) => void;
  readonly askForKey: () => void;
}

export async function showJob(id: string, { client, signal, askForKey, ...results }: JobView): Promise<void> {
  at("job", "section").hidden = false;
  at("job-title", "h2").textContent = `Job ${id}`;
  const progress = at("job-progress", "progress");
  const text = at("job-text", "p");
  let saidOf = "";
  at("job-results", "p").replaceChildren(resultsLink(id, results));

  async function follow(): Promise<void> {
    for await (const job of client.jobs.follow(id, { signal })) {
      const { status, counts, paused, problem, seconds_left: left } = job;
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
      const why = problem === null ? "" : ` ${problem.title}. ${problem.detail}`;
      text.textContent = `${status}: ${parts.join(", ")}.${why}`;
      // Screen readers do not announce each picture.
      const newsOf = JSON.stringify([status, paused]);
      if (newsOf !== saidOf) sayOfJob(`Job ${status}, ${parts.join(", ")}.${why}`);
      saidOf = newsOf;
    }
  }

  for (;;) {
    try {
      return await follow();
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof CaptionApiError && error.problem.code === "unauthorized") askForKey();
      const words = wordsOf(error);
      text.textContent = words;
      if (words !== saidOf) sayOfJob(words);
      saidOf = words;
      if (!mayPass(error)) return;
    }
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_AFTER_MS));
  }
}

/** Whether the same question may be answered later: to reload the page for it would cost the pictures that are on the desk. */
function mayPass(error: unknown): boolean {
  return !(error instanceof CaptionApiError) || error.problem.status >= 500 || error.problem.status === 429;
}

function sayOfJob(words: string): void {
  at("job-said", "p").textContent = words;
}

function wordsOf(error: unknown): string {
  const words =
    error instanceof CaptionApiError
      ? `${error.problem.title}. ${error.problem.detail}`
      : "The service could not be reached.";
  return mayPass(error) ? `${words} It is asked again in a few seconds.` : words;
}

function resultsLink(id: string, { apiKey, say }: Pick<JobView, "apiKey" | "say">): HTMLAnchorElement {
  const href = `/v1/jobs/${encodeURIComponent(id)}/results?format=csv`;
  const file = `${id}.csv`;
  const link = make("a", { href, download: file }, "Results so far, as CSV");
  if (apiKey === "") return link;
  // Fetched here, because a link sends no key.
  link.addEventListener("click", (event) => {
    event.preventDefault();
    fetch(href, { headers: { authorization: `Bearer ${apiKey}` } })
      .then(async (response) => {
        if (!response.ok) throw new Error(`status ${response.status}`);
        save(await response.blob(), file);
        say(`${file} is being saved.`);
      })
      .catch(() => say("The results could not be loaded. Try again."));
  });
  return link;
}
