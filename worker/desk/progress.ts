/** The overall progress: shown at each change, and announced when it is news. */

import { at } from "./elements.ts";
import { say } from "./status.ts";
import { taken } from "./take-away.ts";
import type { Worklist } from "./worklist.ts";

/** How the id of the embedded model begins. */
const DEMONSTRATION = /^hybrid-small\b/;
/** Pictures may fail by the dozen when the network is away; screen readers do not announce each of them. */
const FAILURES_SAID_EVERY_MS = 5_000;

let progressSaid = "";
let failuresSaidAt = 0;

/**
 * Announces the progress: always after something a person did (`before` says what), otherwise only if it has changed, and
 * for outcomes not too often.
 */
export function sayHowFar(worklist: Worklist, { before = "", isOutcome = false }): void {
  const { done, total, failed } = worklist.progress();
  at("work", "section").hidden = total === 0;
  const words = total === 0 ? "" : `${done} of ${total} decided${failed > 0 ? `, ${failed} failed` : ""}.`;
  const isTooSoon = isOutcome && Date.now() - failuresSaidAt < FAILURES_SAID_EVERY_MS;
  if (before === "" && (words === progressSaid || isTooSoon)) return;
  say(`${before} ${words}`.trim());
  progressSaid = words;
  if (isOutcome) failuresSaidAt = Date.now();
}

/** Updates the bar (visual only; `sayHowFar` says it in words), what can be taken away, and the buttons. */
export function showHowFar(worklist: Worklist, { isBusy }: { readonly isBusy: boolean }): void {
  const { done, total } = worklist.progress();
  const progress = at("progress", "progress");
  progress.max = Math.max(1, total);
  progress.value = done;
  const ready = taken(worklist.rows).length;
  at("away-text", "p").textContent =
    ready === 0
      ? "Nothing is accepted yet: only what you have accepted or marked decorative is exported."
      : `${ready} of ${total} texts, those that you accepted or marked decorative.`;
  at("download", "button").disabled = ready === 0;
  at("copy", "button").disabled = ready === 0;
  at("demo", "p").hidden = !worklist.rows.some(
    ({ model }) => model !== undefined && DEMONSTRATION.test(model),
  );
  at("cancel", "button").hidden = !isBusy;
  at("retry", "button").hidden = !worklist.rows.some(
    ({ state }) => state.kind === "failed" && state.canRetry,
  );
}
