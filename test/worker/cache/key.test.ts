import { expect, test } from "vitest";
import type { GenerationOptions } from "../../../shared/schema.ts";
import { captionKey } from "../../../worker/cache/key.ts";

const PICTURE = { revision: "r1", sha256: "0".repeat(64) };
const OPTIONS: Required<GenerationOptions> = { prompt: "a photo of", max_new_tokens: 9, num_beams: 3 };

test("each option has a key of its own, and so has each value of it", async () => {
  const given: GenerationOptions[] = [{}, OPTIONS];
  for (const [name, value] of Object.entries(OPTIONS)) given.push({ [name]: value }, { [name]: `${value}1` });
  const keys = await Promise.all(given.map((options) => captionKey({ ...PICTURE, options })));
  expect(new Set(keys).size).toBe(given.length);
});

test("revision, picture and owner each have keys of their own", async () => {
  const others = [{}, { revision: "r2" }, { sha256: "1".repeat(64) }, { owner: "k1" }, { owner: "k2" }];
  const keys = await Promise.all(
    others.map((other) => captionKey({ ...PICTURE, options: OPTIONS, ...other })),
  );
  expect(new Set(keys).size).toBe(others.length);
});

test("a key is the one it has always been: otherwise every stored caption would be lost", async () => {
  const key = (options: GenerationOptions) => captionKey({ ...PICTURE, options });
  const prefix = `caption/all/${PICTURE.sha256}/r1`;
  expect(await key({})).toBe(`${prefix}/-`);
  expect(await key({ num_beams: 3 })).toBe(`${prefix}/c9fd52da734113a4ff39cdd77627793e`);
  expect(await key({ max_new_tokens: 4 })).toBe(`${prefix}/82c4d1b133e5ee75e404c475f0aea898`);
});

test("a key fits into KV whatever the revision and the prompt", async () => {
  const key = await captionKey({
    revision: "é/".repeat(400),
    options: { prompt: "语".repeat(200), num_beams: 3 },
    sha256: "0".repeat(64),
  });
  expect(new TextEncoder().encode(key).length).toBeLessThanOrEqual(512);
  expect(key).toMatch(/^caption\/all\/0{64}\/[0-9a-f]{32}\/[0-9a-f]{32}$/);
});
