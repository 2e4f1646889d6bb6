/** Options, and kinds of them, that measurements share. */

import * as z from "zod";

/** Whole numbers over nothing, by commas. */
export const counts = (defaults: string) =>
  z
    .string()
    .default(defaults)
    .transform((list) => list.split(",").map(Number))
    .pipe(z.array(z.number().int().positive()));

/** The bundle that is measured. */
export const bundleFolder = z
  .string()
  .optional()
  .meta({ description: "Folder of a bundle; the embedded model where absent.", value: "DIR" });

/** How long captions become. */
export const mostTokens = z.coerce
  .number()
  .int()
  .positive()
  .default(12)
  .describe("Most tokens of a caption; random weights never end one by themselves.");
