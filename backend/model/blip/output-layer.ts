/**
 * The output layer, and what it shares with the word embedding. A file may store both names or only one. In use,
 * transformers gives them one tensor unless the weights or the configuration say otherwise; an adapter that changes
 * one of the two leaves the other as it was.
 * https://github.com/huggingface/transformers/blob/main/src/transformers/modeling_utils.py, `tie_weights`
 */

import { WeightError, type WeightSource } from "../weights/weights.ts";
import type { BlipConfig } from "./config.ts";

export const WORD_EMBEDDING = "text_decoder.bert.embeddings.word_embeddings.weight";
const HEAD = "text_decoder.cls.predictions";
/** Absent if the output matrix is the word embedding. */
export const OUTPUT_MATRIX = `${HEAD}.decoder.weight`;
export const OUTPUT_BIAS = `${HEAD}.decoder.bias`;
/** The output bias has this second name in most files. */
const HEAD_BIAS = `${HEAD}.bias`;

/** Which pairs of names refer to one tensor. */
export interface Ties {
  readonly matrix: boolean;
  readonly bias: boolean;
}

/**
 * Opens the base under every name of its output layer, so that an adapter finds the one it was trained on.
 * @throws WeightError if the configuration asks for an output matrix that is missing
 */
export async function openOutputLayer(
  base: WeightSource,
  config: BlipConfig,
): Promise<{ readonly weights: WeightSource; readonly ties: Ties }> {
  const mayShare = config.tie_word_embeddings || config.text_config.tie_word_embeddings;
  const has = (name: string) => base.tensors.has(name);
  if (!mayShare && has(WORD_EMBEDDING) && !has(OUTPUT_MATRIX)) {
    throw new WeightError(
      `config.json says tie_word_embeddings: false, but the weights have no '${OUTPUT_MATRIX}'. Was the model saved whole?`,
    );
  }
  const ties = {
    matrix: await isOneTensor(base, WORD_EMBEDDING, OUTPUT_MATRIX),
    bias: await isOneTensor(base, HEAD_BIAS, OUTPUT_BIAS),
  };
  const aliases = new Map<string, string>();
  for (const [one, other] of [
    [WORD_EMBEDDING, OUTPUT_MATRIX],
    [HEAD_BIAS, OUTPUT_BIAS],
  ] as const) {
    if (has(one) && !has(other)) aliases.set(other, one);
    if (has(other) && !has(one)) aliases.set(one, other);
  }
  return { weights: withAliases(base, aliases), ties };
}

/**
 * The weights as the graph reads them: `OUTPUT_MATRIX` is present only if it is not the word embedding.
 * @param changed tensors that an adapter has changed
 */
export function closeOutputLayer(
  weights: WeightSource,
  ties: Ties,
  changed: ReadonlySet<string>,
): WeightSource {
  const tensors = new Map(weights.tensors);
  if (ties.matrix && !changed.has(WORD_EMBEDDING) && !changed.has(OUTPUT_MATRIX))
    tensors.delete(OUTPUT_MATRIX);
  // The bias was trained under its other name.
  const bias = ties.bias && changed.has(HEAD_BIAS) && !changed.has(OUTPUT_BIAS) ? HEAD_BIAS : OUTPUT_BIAS;
  return { tensors, read: (name) => weights.read(name === OUTPUT_BIAS ? bias : name) };
}

async function isOneTensor(base: WeightSource, one: string, other: string): Promise<boolean> {
  if (!base.tensors.has(one) || !base.tensors.has(other)) return true;
  const [a, b] = await Promise.all([base.read(one), base.read(other)]);
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

function withAliases(base: WeightSource, aliases: ReadonlyMap<string, string>): WeightSource {
  const tensors = new Map(base.tensors);
  for (const [alias, name] of aliases) tensors.set(alias, base.tensors.get(name) ?? { shape: [] });
  return { tensors, read: (name) => base.read(aliases.get(name) ?? name) };
}
