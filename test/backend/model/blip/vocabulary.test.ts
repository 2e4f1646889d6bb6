import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { readBlipConfig } from "../../../../backend/model/blip/config.ts";
import { readVocabulary } from "../../../../backend/model/blip/vocabulary.ts";
import { TINY_BASE, temporaryFolder } from "../../../support/tiny-blip.ts";

/** The tiny BLIP's tokenizer as transformers 5 saves it. */
const TOKENIZER = fileURLToPath(
  new URL("../../../fixtures/tiny-blip/transformers-5/tokenizer.json", import.meta.url),
);
const VOCABULARY = join(TINY_BASE.folder, "vocab.txt");
const { text_config: CONFIG } = await readBlipConfig(TINY_BASE.folder);

async function folderOf(files: Record<string, string | Uint8Array>): Promise<string> {
  const folder = await temporaryFolder();
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

const text = await readFile(VOCABULARY, "utf8");
const json = await readFile(TOKENIZER, "utf8");

describe("readVocabulary", () => {
  test("reads vocab.txt, tokenizer.json and both to the same tokens", async () => {
    const both = { "vocab.txt": text, "tokenizer.json": json };
    const read = await Promise.all(
      [
        { "vocab.txt": text },
        { "tokenizer.json": json },
        both,
        { "vocab.txt": `\uFEFF${text.replaceAll("\n", "\r\n")}` },
      ].map(async (files) => readVocabulary(await folderOf(files), CONFIG)),
    );
    for (const vocabulary of read) expect(vocabulary).toEqual(read[0]);
    expect(read[0]?.tokens).toHaveLength(CONFIG.bos_token_id);
    expect(read[0]?.lowerCase).toBe(true);
  });

  test("two files of different vocabularies are refused by the first id that differs", async () => {
    const other = text.replace("dog", "wolf");
    const folder = await folderOf({ "vocab.txt": other, "tokenizer.json": json });
    await expect(readVocabulary(folder, CONFIG)).rejects.toThrow(
      /id 7 is 'wolf' in one and 'dog' in the other/,
    );
  });

  test.each([
    ["shorter than the model's", text.split("\n").slice(0, 20).join("\n"), /ends at id 19.*up to 30/],
    ["one word short", text.trimEnd().split("\n").slice(0, -1).join("\n"), /ends at id 27/],
    ["longer than the model's", `${text}${"extra\n".repeat(5)}`, /belong to different models/],
  ])("a vocabulary that is %s is refused", async (_name, content, message) => {
    await expect(readVocabulary(await folderOf({ "vocab.txt": content }), CONFIG)).rejects.toThrow(message);
  });

  test.each([
    ["a token with two ids", text.replace("\ndog\n", "\ncat\n"), "gives ids 7 and 8 to 'cat'"],
    ["no token for what it cannot spell", text.replace("[UNK]", "x"), "has no [UNK]"],
    [
      "a line end in a token",
      text.replace("\ndog\n", "\ndo\rg\n"),
      "the token with id 7 contains a line break",
    ],
    [
      "other bytes than UTF-8",
      Buffer.from(text.replace("\ndog\n", "\ndög\n"), "latin1"),
      "vocab.txt is not in UTF-8",
    ],
  ])("a vocabulary with %s is refused by name", async (_name, content, message) => {
    await expect(readVocabulary(await folderOf({ "vocab.txt": content }), CONFIG)).rejects.toThrow(message);
  });

  test("words that were added to a tokenizer are read even if there is a vocab.txt that does not list them", async () => {
    const added =
      '{"id": 29, "content": "zebra", "special": false}, {"id": 30, "content": "lion", "special": false},';
    const tokenizer = json.replace('"added_tokens": [', `"added_tokens": [${added}`);
    const folder = await folderOf({ "vocab.txt": text, "tokenizer.json": tokenizer });
    expect((await readVocabulary(folder, CONFIG)).tokens.slice(28)).toEqual(["-", "zebra", "lion"]);
  });

  test.each([
    ["another model of tokens", json.replace('"WordPiece"', '"BPE"'), /tokenizer\.json cannot be used/],
    ["another normalizer", json.replace('"strip_accents": null', '"strip_accents": false'), /strip_accents/],
    [
      "a special token that is neither BERT's nor BLIP's",
      json.replace(
        '"added_tokens": [',
        '"added_tokens": [{"id": 29, "content": "<object>", "special": true},',
      ),
      /special token '<object>'/,
    ],
    [
      "an id far past the others",
      json.replace('"added_tokens": [', '"added_tokens": [{"id": 4294967290, "content": "zebra"},'),
      /has no token with id 29/,
    ],
    ["half a file", json.slice(0, 500), /damaged or cut short/],
    ["a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", /Git LFS pointer/],
  ])("%s is refused by name", async (_name, content, message) => {
    await expect(readVocabulary(await folderOf({ "tokenizer.json": content }), CONFIG)).rejects.toThrow(
      message,
    );
  });

  test.each([
    [{ strip_accents: false }, /tokenizer_config\.json says strip_accents: false/],
    [{ do_lower_case: false, strip_accents: true }, /says strip_accents: true/],
    [{ tokenize_chinese_chars: false }, /says tokenize_chinese_chars: false/],
  ])("%o beside vocab.txt is refused by name", async (settings, message) => {
    const folder = await folderOf({ "vocab.txt": text, "tokenizer_config.json": JSON.stringify(settings) });
    await expect(readVocabulary(folder, CONFIG)).rejects.toThrow(message);
  });

  test.each([
    { do_lower_case: true, strip_accents: null, tokenize_chinese_chars: true },
    { do_lower_case: true, strip_accents: true },
    { do_lower_case: false, strip_accents: false },
  ])("%o says what BERT's normalizer does anyhow", async (settings) => {
    const folder = await folderOf({ "vocab.txt": text, "tokenizer_config.json": JSON.stringify(settings) });
    expect((await readVocabulary(folder, CONFIG)).lowerCase).toBe(settings.do_lower_case);
  });

  test("settings that contradict each other, and no vocabulary at all, are refused", async () => {
    const folder = await folderOf({
      "tokenizer.json": json,
      "tokenizer_config.json": '{"do_lower_case": false}',
    });
    await expect(readVocabulary(folder, CONFIG)).rejects.toThrow(/do_lower_case false/);
    await expect(readVocabulary(await folderOf({}), CONFIG)).rejects.toThrow(
      /neither vocab\.txt nor tokenizer\.json/,
    );
  });
});
