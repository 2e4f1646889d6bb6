/** Options that several commands take, described once. */

import * as z from "zod";
import { UsageError } from "./command-line.ts";

/** The bundle that captions are made with. */
export const bundleFolder = z.string().optional().meta({
  description: "A bundle from 'npm run model:build'; by default, the embedded model.",
  value: "DIR",
});

/** The key of the API that `--url` names. */
export const apiKey = z.string().optional().meta({
  description: "The API's key. CAPTION_API_KEY in the environment is safer: no list of processes shows it.",
  value: "KEY",
});

/** @throws UsageError if the captions of one captioner would pass for those of the other */
export function requireOneCaptioner(options: {
  readonly url?: string | undefined;
  readonly bundle?: string | undefined;
}): void {
  if (options.url === undefined || options.bundle === undefined) return;
  throw new UsageError("expected --url or --bundle, not both: the API at --url captions with its own model");
}
