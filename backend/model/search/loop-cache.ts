/** Self-attention keys and values, which a Loop carries from step to step. */

import type { TextConfig } from "../blip/config.ts";
import type { KeyValue } from "../blip/text-graph.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";

/** Adds the carried keys and values as inputs of a body. */
export function inputCache(body: GraphBuilder, config: TextConfig, prefix: string): KeyValue[] {
  return Array.from({ length: config.num_hidden_layers }, (_, i) => ({
    key: body.input(`${prefix}_past_key_${i}`, body.floatType, cacheShape(config, "past")),
    value: body.input(`${prefix}_past_value_${i}`, body.floatType, cacheShape(config, "past")),
  }));
}

/** Adds them as outputs of a body, in the same order. */
export function outputCache(
  body: GraphBuilder,
  config: TextConfig,
  prefix: string,
  cache: readonly KeyValue[],
): void {
  cache.forEach(({ key, value }, i) => {
    body.output(key, `${prefix}_present_key_${i}`, body.floatType, cacheShape(config, "present"));
    body.output(value, `${prefix}_present_value_${i}`, body.floatType, cacheShape(config, "present"));
  });
}

function cacheShape({ hidden_size: hidden, num_attention_heads: heads }: TextConfig, length: string) {
  return ["rows", heads, length, hidden / heads];
}

/** Puts a loop's results back into pairs; they are in the order of `outputCache`. */
export function pairs(values: readonly Value[]): KeyValue[] {
  return Array.from({ length: values.length / 2 }, (_, i) => ({
    key: values[2 * i] as Value,
    value: values[2 * i + 1] as Value,
  }));
}
