/** A decoder in the process that calls it, for a command, whose user's own pictures these are. A server brings decoder.ts. */

import type { Decoder } from "./decoder.ts";
import type { DecoderSettings } from "./decoder-messages.ts";

/** What decodes pictures is not installed. */
export class NoDecoderError extends Error {
  override readonly name = "NoDecoderError";
}

/** Decodes as `startDecoder` does, but bounds no memory, and nothing ends it. */
export function inProcessDecoder({ format, limits }: DecoderSettings): Decoder {
  return {
    isFit: true,
    async decode(picture) {
      // A server, which imports the captioner too, shall not hold libvips.
      const { decodePicture } = await import("./decode.ts").catch(withoutSharp);
      return decodePicture(picture, format, limits);
    },
    end() {},
  };
}

/** sharp's own advice does not help where npm left its library out, as it does without a word under an older Node. */
function withoutSharp(cause: Error): never {
  if (!cause.message.startsWith('Could not load the "sharp" module')) throw cause;
  throw new NoDecoderError(
    `sharp's library for ${process.platform} ${process.arch} is not installed. Run npm ci again, under Node 20.19, 22.12 or ` +
      "later and with optional packages.",
    { cause },
  );
}
