/** Kinds of options that measurements share. */

import * as z from "zod";

/** Whole numbers over nothing, by commas. */
export const counts = (defaults: string) =>
  z
    .string()
    .default(defaults)
    .transform((list) => list.split(",").map(Number))
    .pipe(z.array(z.number().int().positive()));
