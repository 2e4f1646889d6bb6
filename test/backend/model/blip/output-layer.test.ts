import { expect, test } from "vitest";
import {
  closeOutputLayer,
  OUTPUT_BIAS,
  OUTPUT_MATRIX,
  openOutputLayer,
  WORD_EMBEDDING,
} from "../../../../backend/model/blip/output-layer.ts";
import type { WeightSource } from "../../../../backend/model/weights/weights.ts";

const HEAD_BIAS = "text_decoder.cls.predictions.bias";

function sourceOf(values: Readonly<Record<string, readonly number[]>>): WeightSource {
  return {
    tensors: new Map(Object.entries(values).map(([name, { length }]) => [name, { shape: [length] }])),
    read: async (name) => Float32Array.from(values[name] ?? []),
  };
}

/** What the graph reads of a base after an adapter has put other values in. */
async function readAfter(
  base: Readonly<Record<string, readonly number[]>>,
  changed: Readonly<Record<string, readonly number[]>>,
) {
  const config = { tie_word_embeddings: true, text_config: { tie_word_embeddings: true } };
  const { weights, ties } = await openOutputLayer(sourceOf(base), config as never);
  const merged: WeightSource = {
    tensors: weights.tensors,
    read: async (name) => Float32Array.from(changed[name] ?? (await weights.read(name))),
  };
  const closed = closeOutputLayer(merged, ties, new Set(Object.keys(changed)));
  return {
    bias: [...(await closed.read(OUTPUT_BIAS))],
    hasMatrix: closed.tensors.has(OUTPUT_MATRIX),
  };
}

const MATRIX = { [WORD_EMBEDDING]: [1, 2] };

test.each([
  ["under its first name", { ...MATRIX, [HEAD_BIAS]: [3] }, { [HEAD_BIAS]: [4] }, [4]],
  ["under its second name", { ...MATRIX, [HEAD_BIAS]: [3] }, { [OUTPUT_BIAS]: [4] }, [4]],
  ["under both names", { ...MATRIX, [HEAD_BIAS]: [3] }, { [HEAD_BIAS]: [4], [OUTPUT_BIAS]: [5] }, [5]],
  [
    "where it is another tensor",
    { ...MATRIX, [HEAD_BIAS]: [3], [OUTPUT_BIAS]: [6] },
    { [HEAD_BIAS]: [4] },
    [6],
  ],
  ["nowhere", { ...MATRIX, [HEAD_BIAS]: [3] }, {}, [3]],
])("the bias that an adapter has trained %s", async (_name, base, changed, bias) => {
  expect((await readAfter(base, changed)).bias).toEqual(bias);
});

test.each([
  [MATRIX, {}, false],
  [MATRIX, { [WORD_EMBEDDING]: [3, 4] }, true],
  [MATRIX, { [OUTPUT_MATRIX]: [3, 4] }, true],
  [{ ...MATRIX, [OUTPUT_MATRIX]: [1, 2] }, {}, false],
  [{ ...MATRIX, [OUTPUT_MATRIX]: [5, 6] }, {}, true],
])(
  "the output matrix of %j, of which an adapter changes %j, is kept: %s",
  async (base, changed, expected) => {
    const biased = { ...base, [HEAD_BIAS]: [3] };
    expect((await readAfter(biased, changed)).hasMatrix).toBe(expected);
  },
);
