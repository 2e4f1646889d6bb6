/**
 * From encoded pictures to token ids, inside the graph: greedy decoding, which also reads the prompt, and beam search behind
 * it; an input says which of the two goes on after the prompt. A batch of captions is one call into the engine.
 *
 * Both loops lie in the root graph, and the one that is not asked for makes no step. In the branches of an `If` ONNX Runtime
 * 1.30 would not pack their weights, and every product of every step took several times as long.
 */

import type { TextConfig } from "../blip/config.ts";
import type { KeyValue } from "../blip/text-graph.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { addBeamSearch } from "./beam-graph.ts";
import { addGreedySearch } from "./greedy-graph.ts";
import type { SearchResult } from "./search.ts";

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
  const steps = graph.op("Min", [maxNewTokens, room]);
  const isBeamSearch = graph.op("Greater", [numBeams, graph.ints([1])]);
  const none = graph.ints([0]);
  const forcedIds = graph.op("Concat", [graph.ints([config.bos_token_id]), promptIds], { axis: 0 });

  const { cache, ...greedy } = addGreedySearch(graph, config, {
    batch,
    forcedIds,
    steps: graph.op("Where", [isBeamSearch, none, steps]),
    cross,
  });
  const beams = addBeamSearch(graph, config, {
    batch: graph.op("Where", [isBeamSearch, batch, none]),
    numBeams,
    steps: scalar(graph.op("Where", [isBeamSearch, steps, none])),
    firstToken: scalar(graph.op("Gather", [forcedIds, promptLength])),
    firstPosition: scalar(promptLength),
    cache,
    cross,
  });

  const [tokenIds, logProbabilities] = graph.cond({
    condition: scalar(isBeamSearch),
    count: 2,
    whenTrue: resultOf(graph, beams, "beam"),
    whenFalse: resultOf(graph, greedy, "greedy"),
  });
  return { tokenIds, logProbabilities };
}

function resultOf(graph: GraphBuilder, { tokenIds, logProbabilities }: SearchResult, name: string) {
  const branch = graph.subgraph(`${name}_result`);
  branch.output(tokenIds, `${name}_token_ids`, "int64", ["batch", "steps"]);
  branch.output(logProbabilities, `${name}_log_probabilities`, "float", ["batch", "steps"]);
  return branch;
}
