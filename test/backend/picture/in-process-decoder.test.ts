import { registerHooks } from "node:module";
import { expect, onTestFinished, test } from "vitest";
import type { DecoderSettings } from "../../../backend/picture/decoder-messages.ts";
import { inProcessDecoder } from "../../../backend/picture/in-process-decoder.ts";
import type { InspectedPicture } from "../../../backend/picture/inspect.ts";

test("if npm left sharp's library out, the error says how to get it", async () => {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (specifier.startsWith("@img/sharp-")) throw new Error(`Cannot find module '${specifier}'`);
      return next(specifier, context);
    },
  });
  onTestFinished(() => hooks.deregister());
  const decoder = inProcessDecoder({} as DecoderSettings);
  await expect(decoder.decode({} as InspectedPicture)).rejects.toThrow(
    /^sharp's library for \S+ \S+ is not installed. Run npm ci again, under Node/,
  );
});
