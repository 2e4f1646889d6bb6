/**
 * The whole captioner as one ONNX graph: pixels in; token ids, their log-probabilities and the picture head's score
 * out.
 */

import type { Dtype } from "../bundle/bundle.ts";
import { PORTS } from "../bundle/ports.ts";
import type { BlipConfig } from "./blip/config.ts";
import { addEncodedPictures } from "./blip/encoded-pictures.ts";
import { addPictureHead, hasPictureHead } from "./blip/picture-head.ts";
import type { Preprocessing } from "./blip/preprocessing.ts";
import { encodedTokens } from "./blip/vision-graph.ts";
import type { Graph } from "./onnx/graph.ts";
import { GraphBuilder } from "./onnx/graph-builder.ts";
import { addDecoding } from "./search/decoding-graph.ts";
import type { WeightSource } from "./weights/weights.ts";

/** Builds the graph. No weight is read until the graph is written. */
export function buildCaptionGraph(
  weights: WeightSource,
  config: BlipConfig,
  preprocessing: Preprocessing,
  dtype: Dtype,
): Graph {
  const { size } = preprocessing;
  const graph = GraphBuilder.root("blip_caption", weights, dtype);
  const pixels = graph.input(PORTS.pixels, "uint8", ["batch", 3, size, size]);
  const maxNewTokens = graph.input(PORTS.maxNewTokens, "int64", [1]);
  const numBeams = graph.input(PORTS.numBeams, "int64", [1]);
  const promptIds = graph.input(PORTS.promptIds, "int64", ["prompt"]);

  const { encoded, cross } = addEncodedPictures(graph, weights, config, preprocessing, pixels);
  const batch = graph.op("Shape", [pixels], { start: 0, end: 1 });
  const { tokenIds, logProbabilities } = addDecoding(graph, config.text_config, {
    batch,
    maxNewTokens,
    numBeams,
    promptIds,
    cross,
  });
  graph.output(tokenIds, PORTS.tokenIds, "int64", ["batch", "steps"]);
  graph.output(logProbabilities, PORTS.logProbabilities, "float", ["batch", "steps"]);
  if (hasPictureHead(graph)) {
    const tokens = encodedTokens(config.vision_config, preprocessing);
    const scores = addPictureHead(graph, encoded, tokens, config.vision_config.hidden_size);
    graph.output(scores, PORTS.pictureScores, "float", ["batch", 1]);
  }
  return graph.build();
}
