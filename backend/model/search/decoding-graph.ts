/**
 * From encoded pictures to token ids, inside the graph: the prompt first, then greedy decoding or beam search, chosen by
 * an input. A batch of captions is one call into the engine.
 */

import type { TextConfig } from "../blip/config.ts";
import { addDecoderStep, addEmptyCache, type KeyValue } from "../blip/text-graph.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { addBeamSearch } from "./beam-graph.ts";
import { addGreedySearch } from "./greedy-graph.ts";
import { inputCache, outputCache, pairs } from "./loop-cache.ts";
import type { SearchResult, SearchStart } from "./search.ts";

/**
 * Adds prompt and search to `graph`.
 * @param options batch, maxNewTokens and numBeams int64 [1]; promptIds int64 [prompt], may be empty
 */
export function addDecoding(
  graph: GraphBuilder,
  config: TextConfig,
  options: {
    readonly batch: Value;
    readonly maxNewTokens: Value;
    readonly numBeams: Value;
    readonly promptIds: Value;
    readonly cross: readonly KeyValue[];
  },
): SearchResult {
  const { batch, maxNewTokens, numBeams, promptIds, cross } = options;
  const scalar = (x: Value) => graph.op("Squeeze", [x]);
  const promptLength = graph.op("Shape", [promptIds]);
  const room = graph.op("Sub", [graph.ints([config.max_position_embeddings]), promptLength]);
  const forcedIds = graph.op("Concat", [graph.ints([config.bos_token_id]), promptIds], { axis: 0 });
  const start: SearchStart = {
    batch,
    steps: scalar(graph.op("Min", [maxNewTokens, room])),
    firstToken: scalar(graph.op("Gather", [forcedIds, promptLength])),
    firstPosition: scalar(promptLength),
    cache: addPromptCache(graph, config, { batch, forcedIds, length: scalar(promptLength), cross }),
    cross,
  };

  const beams = graph.subgraph("beam_search");
  outputSearch(beams, addBeamSearch(beams, config, start, numBeams), "beam");
  const greedy = graph.subgraph("greedy_search");
  outputSearch(greedy, addGreedySearch(greedy, config, start), "greedy");
  const [tokenIds, logProbabilities] = graph.cond({
    condition: scalar(graph.op("Greater", [numBeams, graph.ints([1])])),
    count: 2,
    whenTrue: beams,
    whenFalse: greedy,
  });
  return { tokenIds, logProbabilities };
}

function outputSearch(
  branch: GraphBuilder,
  { tokenIds, logProbabilities }: SearchResult,
  name: string,
): void {
  branch.output(tokenIds, `${name}_token_ids`, "int64", ["batch", "steps"]);
  branch.output(logProbabilities, `${name}_log_probabilities`, "float", ["batch", "steps"]);
}

/** Runs all forced tokens but the last through the decoder, for their keys and values only. */
function addPromptCache(
  graph: GraphBuilder,
  config: TextConfig,
  {
    batch,
    forcedIds,
    length,
    cross,
  }: { batch: Value; forcedIds: Value; length: Value; cross: readonly KeyValue[] },
): KeyValue[] {
  const body = graph.subgraph("prompt_step");
  const iteration = body.input("prompt_iteration", "int64", []);
  body.input("prompt_go_on", "bool", []);
  const cache = inputCache(body, config, "prompt");
  const { cache: grown } = addDecoderStep(body, config, {
    token: body.op("Expand", [body.op("Gather", [forcedIds, iteration]), batch]),
    position: iteration,
    cache,
    cross,
  });
  body.output(body.bool(true), "prompt_next_go_on", "bool", []);
  outputCache(body, config, "prompt", grown);
  const empty = addEmptyCache(graph, config, batch).flatMap(({ key, value }) => [key, value]);
  return pairs(graph.loop({ steps: length, body, carried: empty }).carried);
}
