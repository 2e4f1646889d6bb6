/** Options that several commands take, described once. */

import * as z from "zod";

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
