/** Options, and types of options, that several measurements use. */

import * as z from "zod";

/** Positive whole numbers, separated by commas. */
export const counts = (defaults: string) =>
  z
    .string()
    .default(defaults)
    .transform((list) => list.split(",").map(Number))
    .pipe(z.array(z.number().int().positive()));

/** The bundle to measure. */
export const bundleFolder = z
  .string()
  .optional()
  .meta({ description: "Folder of a bundle; the embedded model where absent.", value: "DIR" });

/** Length of the captions. */
export const mostTokens = z.coerce
  .number()
  .int()
  .positive()
  .default(12)
  .describe("Most tokens of a caption; random weights never end one by themselves.");
