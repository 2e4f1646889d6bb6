/** A message of the queue: which part of which job is to be done. */

import * as z from "zod/mini";

export const JOB_ID = /^job_[0-9a-f]{32}$/;

export const JobMessage = z.object({
  job: z.string().check(z.regex(JOB_ID)),
  chunk: z.int().check(z.gte(0)),
});
export type JobMessage = z.infer<typeof JobMessage>;
