/**
 * Chooses a server for every call: the one with the fewest outstanding calls, in turn if several have equally few.
 * A server that is gone is left alone for a while, and its call goes to another server once. No gRPC.
 */

import { TritonError, type TritonFailure } from "./triton-error.ts";

/** How long a server that failed is left alone at first; the time doubles with each further failure. */
const FIRST_BACK_OFF_MS = 500;
const LAST_BACK_OFF_MS = 15_000;

/** Failures that say this server, not the request, is at fault. */
const LEAVES_ALONE: readonly TritonFailure[] = ["unreachable", "not-loaded", "timeout"];
/** Those of them that leave time to ask another server. */
const GOES_ON: readonly TritonFailure[] = ["unreachable", "not-loaded"];

interface Endpoint<Client> {
  readonly client: Client;
  outstanding: number;
  /** Failures since the last answer. */
  failures: number;
  /** Left alone until this time, on `now`'s clock. */
  backOffUntil: number;
}

export interface Endpoints<Client> {
  /**
   * Runs `call` on one server, or on a second one if the first is gone. Rejects with what the last one threw. If
   * all servers are left alone, the one whose time ends first is asked.
   */
  run<Answer>(call: (client: Client) => Promise<Answer>): Promise<Answer>;
}

/** @param now milliseconds on a clock that never goes back */
export function createEndpoints<Client>(
  clients: readonly Client[],
  now: () => number = () => performance.now(),
): Endpoints<Client> {
  const endpoints = clients.map((client): Endpoint<Client> => {
    return { client, outstanding: 0, failures: 0, backOffUntil: 0 };
  });
  let turn = 0;

  /** The best endpoint other than `tried`; undefined if there is no other. */
  function choose(tried?: Endpoint<Client>): Endpoint<Client> | undefined {
    const at = now();
    turn = (turn + 1) % endpoints.length;
    const inTurn = [...endpoints.slice(turn), ...endpoints.slice(0, turn)].filter((one) => one !== tried);
    const open = inTurn.filter(({ backOffUntil }) => backOffUntil <= at);
    return open.length > 0
      ? open.reduce((best, one) => (one.outstanding < best.outstanding ? one : best))
      : inTurn.sort((a, b) => a.backOffUntil - b.backOffUntil)[0];
  }

  async function runOn<Answer>(
    endpoint: Endpoint<Client>,
    call: (client: Client) => Promise<Answer>,
  ): Promise<Answer> {
    endpoint.outstanding += 1;
    try {
      const answer = await call(endpoint.client);
      endpoint.failures = 0;
      endpoint.backOffUntil = 0;
      return answer;
    } catch (error) {
      // Calls that fail at the same time count as one failure.
      if (failedWith(error, LEAVES_ALONE) && endpoint.backOffUntil <= now()) {
        endpoint.backOffUntil =
          now() + Math.min(LAST_BACK_OFF_MS, FIRST_BACK_OFF_MS * 2 ** endpoint.failures);
        endpoint.failures += 1;
      }
      throw error;
    } finally {
      endpoint.outstanding -= 1;
    }
  }

  return {
    async run(call) {
      const first = choose();
      if (first === undefined) throw new Error("This is a bug: no endpoint.");
      try {
        return await runOn(first, call);
      } catch (error) {
        const other = failedWith(error, GOES_ON) ? choose(first) : undefined;
        if (other === undefined) throw error;
        return runOn(other, call);
      }
    },
  };
}

function failedWith(error: unknown, failures: readonly TritonFailure[]): boolean {
  return error instanceof TritonError && failures.includes(error.failure);
}
