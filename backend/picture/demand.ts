/** Who wants a picture's caption. Looked at whenever a turn is given away: it may have changed since it was queued. */
export interface Demand {
  /** Aborts when nobody wants it any more. */
  readonly signal: AbortSignal;
  /** Nobody waits for it right now: those that somebody waits for go first. Ends where a person asks for the same. */
  readonly isBackground: boolean;
}

/** Those that somebody waits for, then the others; both in their order. */
export function inTurn<T extends { readonly demand: Demand }>(queued: readonly T[]): T[] {
  return [
    ...queued.filter(({ demand }) => !demand.isBackground),
    ...queued.filter(({ demand }) => demand.isBackground),
  ];
}
