/** The load for measurements: clients that each ask, wait for the answer and ask again. */

export interface Load {
  readonly clients: number;
  /** The number of requests in all, or a function that says whether to send another one. */
  readonly requests: number | (() => boolean);
  /** @param number of the request, from 0; @param client that sends it, from 0 */
  readonly ask: (number: number, client: number) => Promise<unknown>;
}

export interface LoadTimes {
  readonly seconds: number;
  /** Milliseconds of each request, in the order in which they ended. */
  readonly ms: readonly number[];
}

/** Runs until all requests are answered. Rejects with the first error of `ask`. */
export async function runLoad({ clients, requests, ask }: Load): Promise<LoadTimes> {
  const ms: number[] = [];
  let begun = 0;
  const goesOn = typeof requests === "number" ? () => begun < requests : requests;
  const startedAt = performance.now();
  const client = async (index: number) => {
    while (goesOn()) {
      const askedAt = performance.now();
      await ask(begun++, index);
      ms.push(performance.now() - askedAt);
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, index) => client(index)));
  return { seconds: (performance.now() - startedAt) / 1000, ms };
}
