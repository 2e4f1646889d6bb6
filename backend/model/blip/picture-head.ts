/** The picture head as a piece of an ONNX graph; weights/picture-head.ts explains it. */

import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { PICTURE_HEAD_TENSORS } from "../weights/picture-head.ts";

/** Whether the weights include a picture head. */
export function hasPictureHead(graph: GraphBuilder): boolean {
  return graph.hasWeight(PICTURE_HEAD_TENSORS.weight);
}

/**
 * @param encoded [batch * tokens, hidden], from the encoder
 * @returns float32 [batch, 1]
 */
export function addPictureHead(graph: GraphBuilder, encoded: Value, tokens: number, hidden: number): Value {
  const byPicture = graph.op("Reshape", [encoded, graph.ints([-1, tokens, hidden])]);
  const mean = graph.op("ReduceMean", [byPicture, graph.ints([1])], { keepdims: 0 });
  const { weight, bias } = PICTURE_HEAD_TENSORS;
  const score = graph.op("Gemm", [mean, graph.weight(weight), graph.weight(bias)], { transB: 1 });
  return graph.cast(score, "float");
}
