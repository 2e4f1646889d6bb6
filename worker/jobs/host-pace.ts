/**
 * How much of a job is under way at once while a host of its pictures limits requests, or the captioner is late. Each pause
 * for one of these cuts it to a quarter, and each chunk that is closed without one adds a chunk: additive increase,
 * multiplicative decrease, as TCP does (Chiu and Jain, 1989).
 */

import type { JobState } from "./job-state.ts";
import { CHUNKS_IN_FLIGHT, FRUITLESS_HOST_PAUSES } from "./limits.ts";

const DECREASE = 4;

export function chunksAtOnce({ width = CHUNKS_IN_FLIGHT }: JobState): number {
  return width;
}

/**
 * Whether hosts' requests for a pause are heeded, because something was done since the last pauses. If not, a pause counts
 * as any other failure.
 */
export function areHostsHeeded({ fruitlessHostPauses = 0 }: JobState): boolean {
  return fruitlessHostPauses < FRUITLESS_HOST_PAUSES;
}

/** Notes in `state` that a host asks for a pause. */
export function slowDown(state: JobState, now: number): void {
  if (narrow(state, now)) state.fruitlessHostPauses = (state.fruitlessHostPauses ?? 0) + 1;
}

/**
 * Notes in `state` that less is to be under way. During a pause it does nothing and returns false, because what was under
 * way when the pause began says nothing new.
 */
export function narrow(state: JobState, now: number): boolean {
  if (state.paused !== undefined && state.paused.until > now) return false;
  state.width = Math.max(1, Math.floor(chunksAtOnce(state) / DECREASE));
  return true;
}

/** Notes in `state` that a chunk was closed without such a pause. */
export function speedUp(state: JobState): void {
  if (state.width === undefined) return;
  state.width = state.width + 1 < CHUNKS_IN_FLIGHT ? state.width + 1 : undefined;
}
