/**
 * Milliseconds between `time` and `now`, in either order. A time that lies ahead means that the clock was set back, which makes
 * nothing fresher.
 */
export const since = (time: number, now: number): number => Math.abs(now - time);
