/** A decoder in the process that calls it, for a command, whose user's own pictures these are. A server brings decoder.ts. */

import type { Decoder } from "./decoder.ts";
import type { DecoderSettings } from "./decoder-messages.ts";

/** Decodes as `startDecoder` does, but bounds no memory, and nothing ends it. */
export function inProcessDecoder({ format, limits }: DecoderSettings): Decoder {
  return {
    isFit: true,
    async decode(picture) {
      // A server, which imports the captioner too, shall not hold libvips.
      const { decodePicture } = await import("./decode.ts");
      return decodePicture(picture, format, limits);
    },
    end() {},
  };
}
