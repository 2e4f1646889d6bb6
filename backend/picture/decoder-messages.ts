/** What decoder.ts and decoder-process.ts say to each other. */

import type { Result } from "../../shared/result.ts";
import type { PixelFormat } from "./decode.ts";
import type { InspectedPicture } from "./inspect.ts";
import type { PictureLimits } from "./limits.ts";

/** What every picture of a process has in common; the first message to it. */
export interface DecoderSettings {
  readonly format: PixelFormat;
  readonly limits: PictureLimits;
}

/** Then one of these at a time. */
export interface DecodeOrder {
  readonly picture: InspectedPicture;
}

export type DecoderReply =
  /** It has loaded, and waits for pictures. */
  | { readonly kind: "ready" }
  | { readonly kind: "decoded"; readonly result: Result<Uint8Array>; readonly grownBytes: number }
  /** It ends itself, because the picture took more than it was given. */
  | { readonly kind: "exceeded"; readonly limit: "memory" | "time" }
  /** A bug: what was thrown. */
  | { readonly kind: "error"; readonly message: string };
