/** The job for one picture: while the captioner is away or refuses the site's key, it asks again after growing waits, for about a day. */

import type { Payload, TaskConfig } from "payload";
import * as z from "zod";
import { describeDocument, giveUp } from "./describe.ts";
import { isAskedLater } from "./failure.ts";
import { RETRY_DELAYS_MS } from "./limits.ts";
import { DESCRIBE_QUEUE, DESCRIBE_TASK } from "./names.ts";

const Input = z.object({ collection: z.string(), id: z.string(), attempt: z.number().int().min(0) });
type Input = z.infer<typeof Input>;

/** The id in the database's type; a job's input is text. */
function idOf(payload: Payload, collection: string, text: string): number | string {
  const type = payload.collections[collection as never]?.customIDType ?? payload.db.defaultIDType;
  return type === "number" ? Number(text) : text;
}

/** Never throws because the captioner is away: the next attempt is a job of its own, and logs stay quiet. */
export const describeTask: TaskConfig<{ input: Input; output: object }> = {
  slug: DESCRIBE_TASK,
  retries: { attempts: 2, backoff: { type: "exponential", delay: 1000 } },
  inputSchema: [
    { name: "collection", type: "text", required: true },
    { name: "id", type: "text", required: true },
    { name: "attempt", type: "number", required: true },
  ],
  handler: async ({ input, req: { payload } }) => {
    const { collection, id: text, attempt } = Input.parse(input);
    const delayMs = RETRY_DELAYS_MS[attempt];
    const isAskedAgain = delayMs !== undefined;
    const target = { collection, id: idOf(payload, collection, text), isAskedAgain };
    const outcome = await describeDocument(payload, target).catch((error: unknown) => {
      // Payload would not log it, because the runner is silent.
      payload.logger.error({ err: error, msg: `altText: ${collection} ${text} could not be described` });
      throw error;
    });
    const askAgain = (inMs: number) =>
      payload.jobs.queue({
        task: DESCRIBE_TASK as never,
        queue: DESCRIBE_QUEUE,
        input: { collection, id: text, attempt: attempt + 1 } as never,
        waitUntil: new Date(Date.now() + inMs),
      });
    // Words, a file or a draft were saved meanwhile; the next job finds out what is left to do.
    const isChanged = outcome.kind === "skipped" && outcome.reason === "changed meanwhile";
    if (isChanged && delayMs !== undefined) await askAgain(delayMs);
    if (outcome.kind !== "failed") return { output: {} };
    if (outcome.failure === undefined) {
      payload.logger.error({ msg: `altText: ${collection} ${text}: ${outcome.reason}` });
      return { output: {} };
    }
    const { concerns, retryAfterMs = 0, reason } = outcome.failure;
    if (isAskedLater(outcome.failure) && delayMs !== undefined) {
      await askAgain(Math.max(delayMs, retryAfterMs));
    } else if (concerns === "service") {
      await giveUp(payload, target, reason);
    }
    return { output: {} };
  },
};
