/** Who wants a picture's caption. Looked at whenever a turn is given away: it may have changed since it was queued. */
export interface Demand {
  /** Aborts when nobody wants it any more. */
  readonly signal: AbortSignal;
  /** Nobody waits for it right now: those that somebody waits for go first. Ends where a person asks for the same. */
  readonly isBackground: boolean;
}

/** Those that somebody waits for, then the others; both in their order. */
export function inTurn<T>(queued: readonly T[], demandOf: (one: T) => Demand): T[] {
  const isLater = (one: T) => demandOf(one).isBackground;
  return [...queued.filter((one) => !isLater(one)), ...queued.filter(isLater)];
}
