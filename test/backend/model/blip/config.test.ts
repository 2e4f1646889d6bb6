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
