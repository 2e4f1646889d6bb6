import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Bundle } from "../../../backend/bundle/bundle.ts";
import { createTokenizer, type Tokenizer } from "../../../backend/bundle/tokenizer.ts";
import { TINY_BASE, temporaryFolder } from "../../support/tiny-blip.ts";

describe("createTokenizer", () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    const manifest = { tokens: { lower_case: true } } as Bundle["manifest"];
    tokenizer = await createTokenizer({
      manifest,
      graphPath: "",
      vocabularyPath: join(TINY_BASE.folder, "vocab.txt"),
    });
  });

  test("joins pieces and leaves special tokens and BLIP's own markers out", () => {
    const ids = [29, 5, 7, 14, 25, 27, 8, 16, 6, 23, 3, 0]; // [DEC] a dog sits ##s , cat on the beach [SEP] [PAD]
    expect(tokenizer.decode(ids)).toBe("a dog sitss, cat on the beach");
  });

  test("leaves BLIP's own markers out where the vocabulary lists them too", async () => {
    const vocabularyPath = join(await temporaryFolder(), "vocab.txt");
    const words = await readFile(join(TINY_BASE.folder, "vocab.txt"), "utf8");
    await writeFile(vocabularyPath, `${words}[DEC]\n[ENC]\n`);
    const manifest = { tokens: { lower_case: true } } as Bundle["manifest"];
    const listing = await createTokenizer({ manifest, graphPath: "", vocabularyPath });
    expect(listing.decode([29, 5, 7, 29, 8, 30, 3])).toBe("a dog cat");
  });

  test("encodes a prompt in lower case, with neither begin nor end token", () => {
    expect(tokenizer.encodePrompt("A Photograph of")).toEqual({ ids: [5, 22, 21], unknown: [] });
  });

  test("an unknown word becomes the unknown token, and is named", () => {
    expect(tokenizer.encodePrompt("xyzzy")).toEqual({ ids: [1], unknown: ["xyzzy"] });
    expect(tokenizer.encodePrompt("a dog, plover").unknown).toEqual(["plover"]);
  });

  test("nothing decodes to nothing", () => {
    expect(tokenizer.decode([29, 3])).toBe("");
  });

  test("the mark of a piece that continues a word never reaches a caption", () => {
    const piece = tokenizer.encodePrompt("dogs").ids.at(-1) ?? -1;
    expect(tokenizer.decode([piece, 5])).toBe("s a");
  });
});
