/**
 * Counts the pictures that get the same tokens as from transformers on the same pixels, and the same caption from
 * the same files. Reads what reference/dev.py wrote.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { Device } from "../backend/bundle/bundle.ts";
import { readJsonFile } from "../backend/bundle/json-file.ts";
import { openLocalCaptioner } from "../backend/local-captioner.ts";
import { bundleFolder } from "./options.ts";
import { MeasurementError, type Report } from "./report.ts";

const BATCH = 8;

export const Options = z.object({
  reference: z.string().meta({ description: "What reference/dev.py wrote.", value: "DIR" }),
  images: z.string().meta({ description: "Folder of the pictures.", value: "DIR" }),
  bundle: bundleFolder,
  device: Device.default("cpu").describe("What computes."),
});

const Reference = z.object({
  size: z.number(),
  max_new_tokens: z.number(),
  num_beams: z.number(),
  rows: z.array(
    z.object({
      image: z.string(),
      token_ids: z.array(z.number()),
      caption: z.string(),
      margins: z.array(z.number()),
    }),
  ),
});

export async function run(options: z.infer<typeof Options>): Promise<Report> {
  const file = join(options.reference, "reference.json");
  const { size, max_new_tokens, num_beams, rows } = await readJsonFile(file, Reference, MeasurementError);
  const pixels = new Uint8Array(await readFile(join(options.reference, "pixels.bin")));
  const { captioner, engine } = await openLocalCaptioner(options.bundle, { device: options.device });
  const { tokens } = engine.bundle.manifest;
  const bytes = 3 * size * size;

  const differences: Report[] = [];
  let sameTokens = 0;
  for (let start = 0; start < rows.length; start += BATCH) {
    const batch = rows.slice(start, start + BATCH);
    const answers = await engine.generate(
      pixels.slice(start * bytes, (start + batch.length) * bytes),
      batch.length,
      {
        maxNewTokens: max_new_tokens,
        numBeams: num_beams,
        promptIds: [],
      },
    );
    batch.forEach((row, i) => {
      const end = row.token_ids.indexOf(tokens.eos);
      const expected = end === -1 ? row.token_ids : row.token_ids.slice(0, end + 1);
      const actual = answers[i]?.tokenIds ?? [];
      const at = expected.findIndex((id, step) => id !== actual[step]);
      if (at === -1 && expected.length === actual.length) sameTokens++;
      else
        differences.push({
          image: row.image,
          step: at,
          margin_between_best_two_logits: row.margins[at] ?? null,
        });
    });
  }

  let sameCaptions = 0;
  for (const row of rows) {
    const answer = await captioner.caption(new Uint8Array(await readFile(join(options.images, row.image))), {
      max_new_tokens,
      num_beams,
    });
    if (answer.ok && answer.value.caption === row.caption) sameCaptions++;
  }
  await engine.close();
  return {
    pictures: rows.length,
    device: options.device,
    dtype: engine.bundle.manifest.dtype,
    num_beams,
    same_tokens: sameTokens,
    same_captions_from_files: sameCaptions,
    differences,
  };
}
