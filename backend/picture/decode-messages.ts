/** What decode-threads.ts and decode-thread.ts say to each other. */

import type { Result } from "../../shared/result.ts";
import type { PictureLimits, PixelFormat } from "./decode.ts";

/** What every picture of a pool has in common. */
export interface DecodeThreadOptions {
  readonly format: PixelFormat;
  readonly limits: PictureLimits;
}

/** What a thread says of the picture it was sent. */
export type DecodeReply =
  | { readonly kind: "decoded"; readonly result: Result<Uint8Array> }
  | { readonly kind: "error"; readonly error: unknown };
