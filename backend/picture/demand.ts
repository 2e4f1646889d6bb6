/**
 * Who wants a picture's caption. It is read whenever a turn is given away, because it may change while the picture
 * waits.
 */
export interface Demand {
  /** Aborts when nobody wants the caption any more. */
  readonly signal: AbortSignal;
  /**
   * True if nobody is waiting right now; such pictures let all others go first. Becomes false when a person asks
   * for the same.
   */
  readonly isBackground: boolean;
}

/** First those that somebody waits for, then the others, each group in its order. */
export function inTurn<T extends { readonly demand: Demand }>(queued: readonly T[]): T[] {
  return [
    ...queued.filter(({ demand }) => !demand.isBackground),
    ...queued.filter(({ demand }) => demand.isBackground),
  ];
}
