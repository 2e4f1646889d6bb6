/** Messages between decoder.ts and decoder-process.ts. */

import type { Result } from "../../shared/result.ts";
import type { PixelFormat } from "./decode.ts";
import type { InspectedPicture } from "./inspect.ts";
import type { PictureLimits } from "./limits.ts";

/** The settings that apply to every picture of a decoder. */
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

/** The number of bytes to read from the shared file, or the bytes themselves if they are not in it. */
export type Passed<Bytes extends Uint8Array = Uint8Array> = number | Bytes;

/** Each later message: one picture, sent after the reply to the one before. */
export interface DecodeOrder {
  readonly picture: Omit<InspectedPicture, "bytes">;
  readonly bytes: Passed<InspectedPicture["bytes"]>;
}

export type DecoderReply =
  /** The process has loaded and waits for pictures. */
  | { readonly kind: "ready" }
  | { readonly kind: "decoded"; readonly result: Result<Passed>; readonly grownBytes: number }
  /** The process ends itself because the picture took more than it may. */
  | { readonly kind: "exceeded"; readonly limit: "memory" | "time" }
  /** A bug; `message` is what was thrown. */
  | { readonly kind: "error"; readonly message: string };
