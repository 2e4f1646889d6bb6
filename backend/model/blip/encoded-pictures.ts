/** Encodes pictures for the decoder, together with their keys and values for every layer, as a piece of an ONNX graph. */

import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import type { WeightSource } from "../weights/weights.ts";
import type { BlipConfig } from "./config.ts";
import type { Preprocessing } from "./preprocessing.ts";
import { addCrossKeyValues, type KeyValue } from "./text-graph.ts";
import { addEncoderLayers, addPictureEmbeddings, encodedTokens } from "./vision-graph.ts";

/**
 * From this many rows on, encoding each picture by itself is faster in eight bits, where passes over memory take as
 * long as products. With fewer rows, the products of one picture are slower than those of a batch. In float32 the
 * gain would be small, and ONNX Runtime keeps the weights of a `Scan` twice. Measured: docs/measurements/speed.md.
 */
const ENOUGH_ROWS = 400;

export interface EncodedPictures {
  /** [batch * tokens, hidden], on a GPU [batch, tokens, hidden] */
  readonly encoded: Value;
  readonly cross: readonly KeyValue[];
}

/** @param pixels uint8 [batch, 3, size, size], 0..255 */
export function addEncodedPictures(
  graph: GraphBuilder,
  weights: WeightSource,
  { vision_config: vision, text_config: text }: BlipConfig,
  preprocessing: Preprocessing,
  pixels: Value,
): EncodedPictures {
  const tokens = encodedTokens(vision, preprocessing);
  const encode = (graph: GraphBuilder, embedded: Value): EncodedPictures => {
    const encoded = addEncoderLayers(graph, vision, preprocessing, embedded);
    return { encoded, cross: addCrossKeyValues(graph, text, encoded, tokens) };
  };
  const embedded = addPictureEmbeddings(graph, weights, vision, preprocessing, pixels);
  if (graph.dtype !== "int8" || tokens < ENOUGH_ROWS) return encode(graph, embedded);

  // One picture after another, so that what one operator writes is still in a cache when the next one reads it.
  const body = graph.subgraph("picture");
  const hidden = vision.hidden_size;
  const one = encode(body, body.input("picture_embedded", body.floatType, [tokens, hidden]));
  const heads = text.num_attention_heads;
  const width = text.hidden_size / heads;
  body.output(one.encoded, "picture_encoded", body.floatType, [tokens, hidden]);
  one.cross.forEach(({ key, value }, i) => {
    body.output(key, `picture_key_${i}`, body.floatType, [1, heads, width, tokens]);
    body.output(value, `picture_value_${i}`, body.floatType, [1, heads, tokens, width]);
  });
  const [encoded, ...cross] = graph.scan({ body, inputs: [embedded], count: 1 + 2 * one.cross.length });
  const reshape = (x: Value, ...sizes: number[]) => graph.op("Reshape", [x, graph.ints([-1, ...sizes])]);
  return {
    encoded: reshape(encoded as Value, hidden),
    cross: one.cross.map((_, i) => ({
      key: reshape(cross[2 * i] as Value, heads, width, tokens),
      value: reshape(cross[2 * i + 1] as Value, heads, tokens, width),
    })),
  };
}
