/** `Retry-After`, RFC 9110 section 10.2.3: seconds, or a date. */

/** Milliseconds until the moment that a `Retry-After` names; undefined if it names none. */
export function retryAfterMs(value: string | null, now: number): number | undefined {
  if (value === null || value.trim() === "") return undefined;
  const seconds = Number(value);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
