/** How far all is: shown at each change, and said where it is news. */

import { at } from "./elements.ts";
import { say } from "./status.ts";
import { taken } from "./take-away.ts";
import type { Worklist } from "./worklist.ts";

/** The embedded model's id begins so. */
const DEMONSTRATION = /^hybrid-small\b/;
/** Pictures may fail by the dozen, where the network is away: screen readers are not told of each. */
const FAILURES_SAID_EVERY_MS = 5_000;

let progressSaid = "";
let failuresSaidAt = 0;

/** Says after what a person did (`before` says what) how far all is; otherwise where that has changed, of outcomes not too often. */
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

/** Brings the bar (for eyes alone: `sayHowFar` has it in words), what can be taken away, and the buttons up to date. */
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
