/** Messages between threaded.ts and thread.ts. */

import type { DecodingOptions, TokenSequence } from "../engine.ts";

/** A call to the thread. */
export interface EngineCall {
  readonly pixels: Uint8Array;
  readonly batch: number;
  readonly options: DecodingOptions;
}

/** What the thread sends: first that it has loaded, then one answer per call. */
export type EngineReply =
  | { readonly kind: "ready"; readonly buckets: readonly number[] | undefined }
  | { readonly kind: "sequences"; readonly sequences: TokenSequence[] }
  // An error's class is lost on the way between threads.
  | { readonly kind: "unusable-device"; readonly message: string }
  | { readonly kind: "error"; readonly error: unknown };
