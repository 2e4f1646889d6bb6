/** Options that several commands take, described once. */

import * as z from "zod";
import { UsageError } from "./command-line.ts";

/** The bundle that captions are made with. */
export const bundleFolder = z.string().optional().meta({
  description: "A bundle of 'npm run model:build'; the embedded model where absent.",
  value: "DIR",
});

/** The key of the API that `--url` names. */
export const apiKey = z.string().optional().meta({
  description: "Its key; better CAPTION_API_KEY in the environment, which no list of processes shows.",
  value: "KEY",
});

/** @throws UsageError if the captions of one captioner would pass for those of the other */
export function requireOneCaptioner(options: {
  readonly url?: string | undefined;
  readonly bundle?: string | undefined;
}): void {
  if (options.url === undefined || options.bundle === undefined) return;
  throw new UsageError("expected one of --url and --bundle: the API at --url captions with its own model");
}
