/** What travels through the queue: which part of which job is to be done. */

import * as z from "zod";

export const JOB_ID = /^job_[0-9a-f]{32}$/;

export const JobMessage = z.object({
  job: z.string().regex(JOB_ID),
  chunk: z.number().int().min(0),
});
export type JobMessage = z.infer<typeof JobMessage>;
