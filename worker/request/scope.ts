/** What belongs to one request and is handed down to whatever works for it: identity, deadline, timings, log line. */

import { REQUEST_ID_HEADER } from "../../shared/backend-protocol.ts";
import type { ProblemCode } from "../../shared/problem.ts";

/** The part of a Workers execution context that we use. */
export interface Background {
  waitUntil(work: Promise<unknown>): void;
}

export interface RequestScope {
  readonly requestId: string;
  /** W3C Trace Context, section 3.2. */
  readonly traceparent: string;
  /** Epoch milliseconds. */
  readonly now: () => number;
  /** Epoch milliseconds after which nobody waits any more. */
  readonly deadline: number;
  /** Background work lets requests go first that somebody waits for. */
  readonly priority: "interactive" | "background";
  /** Lets work outlive the answer. */
  readonly background: Background;
  /** Work that `background` was given; the log line waits for it. */
  readonly outliving: Promise<unknown>[];
  /** Milliseconds spent on each leg, in the order of the legs. */
  readonly timings: Map<string, number>;
  /** Headers of the answer to come. An answer that is made with them takes them out: see `takeHeaders`. */
  readonly headers: Map<string, string>;
  /** Fields of this request's log line; `tier` is the cache tier that answered, or `none`. */
  readonly log: {
    tier?: string;
    keyId?: string;
    bytes?: number;
    job?: string;
    readonly warnings: string[];
    /** How often each failure was reported: that of the request, or those of its items. */
    readonly problems: Map<ProblemCode, number>;
  };
}

const REQUEST_ID = /^[\w.-]{1,64}$/;
const TRACEPARENT = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Starts a request's scope; a caller's own request id and trace are kept if they are well formed. */
export function openScope(options: {
  readonly requestId: string | undefined;
  /** The caller's, if any; asked for only when it is needed. */
  readonly traceparent: () => string | undefined;
  readonly timeoutMs: number;
  readonly priority?: RequestScope["priority"];
  readonly background: Background;
  readonly now: () => number;
}): RequestScope {
  const { requestId, timeoutMs, priority = "interactive", background, now } = options;
  const id = requestId !== undefined && REQUEST_ID.test(requestId) ? requestId : crypto.randomUUID();
  let traceparent: string | undefined;
  const outliving: Promise<unknown>[] = [];
  return {
    requestId: id,
    // Made when first asked for, because a hit calls nobody.
    get traceparent() {
      traceparent ??= wellFormed(options.traceparent()) ?? newTraceparent();
      return traceparent;
    },
    now,
    priority,
    deadline: now() + timeoutMs,
    background: {
      waitUntil(work) {
        outliving.push(work);
        background.waitUntil(work);
      },
    },
    outliving,
    timings: new Map(),
    headers: new Map([
      [REQUEST_ID_HEADER, id],
      ["x-content-type-options", "nosniff"],
    ]),
    log: { warnings: [], problems: new Map() },
  };
}

/** Counts a failure for the log line, because several failures share a status, and items of a batch have none. */
export function noteProblem({ log: { problems } }: RequestScope, code: ProblemCode): void {
  problems.set(code, (problems.get(code) ?? 0) + 1);
}

/** The same request with a deadline of its own, for one of many parts. */
export function withDeadline(scope: RequestScope, timeoutMs: number): RequestScope {
  return { ...scope, deadline: scope.now() + timeoutMs };
}

/** Takes the headers out, for an answer that is created with them. Setting them afterwards would make a hit a twentieth slower. */
export function takeHeaders({ headers }: RequestScope): Record<string, string> {
  const taken = Object.fromEntries(headers);
  headers.clear();
  return taken;
}

/** Resolves when all work that outlives the answer is done, including work that this work begins. */
export async function outlived({ outliving }: RequestScope): Promise<void> {
  for (let next = 0; next < outliving.length; next++) await outliving[next]?.catch(() => {});
}

/** Runs `work` and adds its duration to the leg `name`. */
export async function timed<T>(scope: RequestScope, name: string, work: () => Promise<T>): Promise<T> {
  const start = performance.now();
  try {
    return await work();
  } finally {
    scope.timings.set(name, (scope.timings.get(name) ?? 0) + performance.now() - start);
  }
}

function wellFormed(traceparent: string | undefined): string | undefined {
  return traceparent !== undefined && TRACEPARENT.test(traceparent) ? traceparent : undefined;
}

function newTraceparent(): string {
  const hex = (crypto.randomUUID() + crypto.randomUUID()).replaceAll("-", "");
  return `00-${hex.slice(0, 32)}-${hex.slice(32, 48)}-01`;
}
