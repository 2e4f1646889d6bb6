import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readBlipConfig } from "../../../../backend/model/blip/config.ts";
import { TINY_BASE, temporaryFolder } from "../../../support/tiny-blip.ts";

async function configured(part: "text_config" | "vision_config", change: object): Promise<string> {
  const folder = await temporaryFolder();
  const config = JSON.parse(await readFile(join(TINY_BASE.folder, "config.json"), "utf8"));
  Object.assign(config[part], change);
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  return folder;
}

test.each(["text_config", "vision_config"] as const)(
  "heads that do not divide the width of %s are refused",
  async (part) => {
    const folder = await configured(part, { num_attention_heads: 3 });
    await expect(readBlipConfig(folder)).rejects.toThrow(
      new RegExp(`expected a divisor of hidden_size\\s+→ at ${part}.num_attention_heads`),
    );
  },
);

test.each(["bos_token_id", "pad_token_id", "sep_token_id"])(
  "a %s past the vocabulary is refused",
  async (key) => {
    const folder = await configured("text_config", { [key]: 31 });
    await expect(readBlipConfig(folder)).rejects.toThrow(
      new RegExp(`expected an id below vocab_size, 31; it is 31\\s+→ at text_config.${key}`),
    );
  },
);

test.each([
  ["repetition_penalty", 1.5],
  ["num_beams", 3],
  ["no_repeat_ngram_size", 2],
  ["suppress_tokens", [5]],
  ["min_new_tokens", 8],
])("generation by %s is refused: transformers 4 captions by it", async (key, value) => {
  const folder = await configured("text_config", { [key]: value });
  await expect(readBlipConfig(folder)).rejects.toThrow(
    new RegExp(`this generation setting is not supported here.*\\s+→ at text_config.${key}`),
  );
});

test("generation settings that transformers 4 writes and that change nothing are accepted", async () => {
  const folder = await configured("text_config", {
    bad_words_ids: null,
    begin_suppress_tokens: null,
    diversity_penalty: 0.0,
    do_sample: false,
    early_stopping: false,
    encoder_no_repeat_ngram_size: 0,
    forced_eos_token_id: null,
    length_penalty: 1.0,
    max_length: 20,
    min_length: 0,
    num_beam_groups: 1,
    num_beams: 1,
    repetition_penalty: 1.0,
    temperature: 1.0,
    top_k: 50,
  });
  await expect(readBlipConfig(folder)).resolves.toMatchObject({ text_config: { num_beams: 1 } });
});
