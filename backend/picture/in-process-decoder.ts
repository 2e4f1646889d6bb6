/** A decoder in the calling process, for a command whose user supplies the pictures. A server uses decoder.ts. */

import type { Decoder } from "./decoder.ts";
import type { DecoderSettings } from "./decoder-messages.ts";

/** The library that decodes pictures is not installed. */
export class NoDecoderError extends Error {
  override readonly name = "NoDecoderError";
}

/** Decodes as `startDecoder` does, but without a memory limit, and it cannot be ended. */
export function inProcessDecoder({ format, limits }: DecoderSettings): Decoder {
  return {
    isFit: true,
    async decode(picture) {
      // Imported here because a server, which imports the captioner too, must not load libvips.
      const { decodePicture } = await import("./decode.ts").catch(withoutSharp);
      return decodePicture(picture, format, limits);
    },
    end() {},
  };
}

/**
 * Replaces sharp's own advice, which does not help if npm silently left its library out, as it does under an older
 * Node.
 */
function withoutSharp(cause: Error): never {
  if (!cause.message.startsWith('Could not load the "sharp" module')) throw cause;
  throw new NoDecoderError(
    `sharp's library for ${process.platform} ${process.arch} is not installed. Run npm ci again, under Node 20.19, 22.12 or ` +
      "later and with optional packages.",
    { cause },
  );
}
