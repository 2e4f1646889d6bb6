/** The page's messages: to screen readers, beside a field, and while it waits. */

import type { Pause } from "./captioning.ts";
import { at } from "./elements.ts";

/** Shows words and announces them to screen readers; on an empty desk their place is beside the form. */
export function say(words: string): void {
  const isEmpty = at("work", "section").hidden;
  at("add-status", "p").textContent = isEmpty ? words : "";
  at("status", "p").textContent = isEmpty ? "" : words;
}

/** Says beside a field what is wrong with it, or clears that message. */
export function complain(field: HTMLInputElement | HTMLTextAreaElement, problem: string | undefined): void {
  const place = at(`${field.id}-problem`, "p");
  place.hidden = problem === undefined;
  place.textContent = problem ?? "";
  if (problem === undefined) field.removeAttribute("aria-invalid");
  else field.setAttribute("aria-invalid", "true");
}

let ticking: ReturnType<typeof setInterval> | undefined;
let isWaitSaid = false;

/** Shows a wait as a countdown, and announces it once: screen readers announce neither each second nor each wait in a row. */
export function showPause(pause: Pause | undefined): void {
  clearInterval(ticking);
  const place = at("pause", "p");
  place.hidden = pause === undefined;
  if (pause === undefined) return;
  const seconds = () => Math.max(1, Math.ceil((pause.until - Date.now()) / 1000));
  const tick = () => {
    place.textContent = `Goes on by itself in ${seconds()} s.`;
  };
  tick();
  ticking = setInterval(tick, 250);
  if (!isWaitSaid) say(`${pause.reason} Waiting for ${seconds()} seconds, then it continues by itself.`);
  isWaitSaid = true;
}

/** Whether an announced wait is over: true once for each. */
export function hasWaitEnded(): boolean {
  if (!isWaitSaid || !at("pause", "p").hidden) return false;
  isWaitSaid = false;
  return true;
}

/** Copies a text, and announces it. */
export async function copy(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    say(`${what} copied.`);
  } catch {
    say(`${what} could not be copied; select it and copy it by hand.`);
  }
}
