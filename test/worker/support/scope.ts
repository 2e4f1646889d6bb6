import { openScope, type RequestScope } from "../../../worker/request/scope.ts";

/** The scope of a request that nobody sent. */
export const scopeOf = (
  priority: RequestScope["priority"],
  { timeoutMs = 5_000 }: { readonly timeoutMs?: number } = {},
): RequestScope =>
  openScope({
    requestId: undefined,
    traceparent: () => undefined,
    timeoutMs,
    priority,
    background: { waitUntil: () => {} },
    now: Date.now,
  });
