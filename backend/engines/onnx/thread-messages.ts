/** What threaded.ts and thread.ts say to each other. */

import type { DecodingOptions, TokenSequence } from "../engine.ts";

/** What the thread is asked. */
export interface EngineCall {
  readonly pixels: Uint8Array;
  readonly batch: number;
  readonly options: DecodingOptions;
}

/** What the thread says: that it has loaded, then one answer a call. */
export type EngineReply =
  | { readonly kind: "ready"; readonly buckets: readonly number[] | undefined }
  | { readonly kind: "sequences"; readonly sequences: TokenSequence[] }
  // An error's class does not survive the way between threads.
  | { readonly kind: "unusable-device"; readonly message: string }
  | { readonly kind: "error"; readonly error: unknown };
