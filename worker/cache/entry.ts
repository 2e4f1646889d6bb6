/** What the cache holds: a caption, for good, or, for a short while, a failure that the same bytes would cause again. */

import * as z from "zod/mini";
import { PROBLEM_CODES } from "../../shared/problem.ts";
import { GeneratedCaption } from "../../shared/schema.ts";

export const CacheEntry = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("caption"), generated: GeneratedCaption }),
  z.object({
    kind: z.literal("failure"),
    failure: z.object({ code: z.enum(PROBLEM_CODES), detail: z.string() }),
  }),
]);
export type CacheEntry = z.infer<typeof CacheEntry>;

/** Long enough to stop a client that retries in a loop, short enough that a repaired captioner is soon asked again. */
export const FAILURE_TTL_SECONDS = 300;

/** Reads an entry that came from outside the isolate; anything but an entry is a miss. */
export function parseEntry(value: unknown): CacheEntry | undefined {
  const parsed = CacheEntry.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}
