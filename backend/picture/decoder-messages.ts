/** What decoder.ts and decoder-process.ts say to each other. */

import type { Result } from "../../shared/result.ts";
import type { PixelFormat } from "./decode.ts";
import type { InspectedPicture } from "./inspect.ts";
import type { PictureLimits } from "./limits.ts";

/** What every picture of a decoder has in common. */
export interface DecoderSettings {
  readonly format: PixelFormat;
  readonly limits: PictureLimits;
}

/** The first message to the process. */
export interface DecoderStart extends DecoderSettings {
  /** Whether there is a shared file. */
  readonly hasFile: boolean;
}

/** The descriptor of the shared file (shared-file.ts) in the process. */
export const SHARED_FILE = 4;

/** So many bytes of the shared file, or those that are not in it. */
export type Passed<Bytes extends Uint8Array = Uint8Array> = number | Bytes;

/** Then one of these at a time. */
export interface DecodeOrder {
  readonly picture: Omit<InspectedPicture, "bytes">;
  readonly bytes: Passed<InspectedPicture["bytes"]>;
}

export type DecoderReply =
  /** It has loaded, and waits for pictures. */
  | { readonly kind: "ready" }
  | { readonly kind: "decoded"; readonly result: Result<Passed>; readonly grownBytes: number }
  /** It ends itself, because the picture took more than it was given. */
  | { readonly kind: "exceeded"; readonly limit: "memory" | "time" }
  /** A bug: what was thrown. */
  | { readonly kind: "error"; readonly message: string };
