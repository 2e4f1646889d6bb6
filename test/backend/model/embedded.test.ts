import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";
import { createTokenizer } from "../../../backend/bundle/tokenizer.ts";
import { type Captioner, createCaptioner } from "../../../backend/captioner/captioner.ts";
import type { Engine } from "../../../backend/engines/engine.ts";
import { createOnnxEngine } from "../../../backend/engines/onnx/engine.ts";
import { EMBEDDED_ADAPTER, EMBEDDED_BASE, openEmbeddedBundle } from "../../../backend/model/embedded.ts";
import { runFirstStep } from "../../support/first-step.ts";
import { largestDifference } from "../../support/tiny-blip.ts";

/** Made by reference/embedded.py with transformers and peft. */
const Reference = z.object({
  photographs: z.array(z.string()),
  shape: z.tuple([z.number(), z.literal(3), z.number(), z.number()]),
  token_ids: z.array(z.array(z.number())),
  captions: z.array(z.string()),
  first_logits: z.array(z.number()),
  picture_scores: z.array(z.number()),
  encoder_every_16th: z.array(z.number()),
});
const fixture = (name: string) => readFileSync(new URL(`../../fixtures/embedded/${name}`, import.meta.url));
const reference = Reference.parse(JSON.parse(fixture("reference.json").toString()));
const pixels = new Uint8Array(fixture("pixels.bin"));

describe("the embedded model against transformers and peft", () => {
  let engine: Engine;
  let captioner: Captioner;
  beforeAll(async () => {
    const bundle = await openEmbeddedBundle();
    engine = await createOnnxEngine({ bundle });
    captioner = createCaptioner({ engine, tokenizer: await createTokenizer(bundle) });
  });
  afterAll(() => engine.close());

  test("encoder within 1e-4 and first logits within 1e-3 on the same pixels", async () => {
    const model = { base: EMBEDDED_BASE, adapter: EMBEDDED_ADAPTER };
    const { encoder, logits } = await runFirstStep(model, pixels, reference.shape);
    const sampled = encoder.filter((_, i) => i % 16 === 0);
    expect(largestDifference(sampled, reference.encoder_every_16th)).toBeLessThan(1e-4);
    expect(largestDifference(logits, reference.first_logits)).toBeLessThan(1e-3);
  });

  test("the same tokens on the same pixels, and the picture head within 1e-4", async () => {
    const rows = await engine.generate(pixels, reference.shape[0], {
      maxNewTokens: 30,
      numBeams: 1,
      promptIds: [],
    });
    const { eos } = engine.bundle.manifest.tokens;
    const expected = reference.token_ids.map((ids) =>
      ids.includes(eos) ? ids.slice(0, ids.indexOf(eos) + 1) : ids,
    );
    expect(rows.map((row) => row.tokenIds)).toEqual(expected);
    const scores = rows.map((row) => row.pictureScore ?? Number.NaN);
    expect(largestDifference(scores, reference.picture_scores)).toBeLessThan(1e-4);
  });

  test("is calibrated: its review threshold was measured with these very weights", () => {
    const { review } = captioner.model;
    expect(review?.flagged_share).toBeGreaterThan(0);
    expect(review?.flagged_share).toBeLessThan(1);
  });

  test("the same captions from the JPEG files", async () => {
    for (const [i, name] of reference.photographs.entries()) {
      const bytes = new Uint8Array(await readFile(new URL(`../../../examples/${name}`, import.meta.url)));
      const answer = await captioner.caption(bytes);
      expect(answer).toMatchObject({ ok: true, value: { caption: reference.captions[i] } });
    }
  });
});
