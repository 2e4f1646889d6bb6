/**
 * Turns encoded pictures into token ids, inside the graph. Greedy decoding also reads the prompt; after the prompt,
 * an input decides whether greedy decoding or beam search goes on. So a batch of captions is one call into the
 * engine.
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
  const ifBeams = (then: Value, otherwise: number) =>
    graph.op("Where", [isBeamSearch, then, graph.ints([otherwise])]);

  const greedy = addGreedySearch(graph, config, {
    batch,
    promptIds,
    steps,
    loopSteps: scalar(
      graph.op("Where", [isBeamSearch, promptLength, graph.op("Add", [promptLength, steps])]),
    ),
    cross,
  });
  const whenGreedy = graph.subgraph("greedy_result");
  outputSearch(whenGreedy, greedy.result(whenGreedy), "greedy");

  // On the CPU, ONNX Runtime 1.30 packs no weights inside a branch, so every product of every step would take
  // several times as long. There the beam loop lies outside the branch and, if beams are not asked for, makes no
  // steps of one picture. (One picture, because not all kernels of other devices accept an empty batch.) A GPU
  // packs nothing.
  const whenBeams = graph.subgraph("beam_result");
  const forcedIds = graph.op("Concat", [graph.ints([config.bos_token_id]), promptIds], { axis: 0 });
  const beams = addBeamSearch(graph.forGpu ? whenBeams : graph, config, {
    batch: graph.forGpu ? batch : ifBeams(batch, 1),
    numBeams,
    steps: scalar(graph.forGpu ? steps : ifBeams(steps, 0)),
    firstToken: scalar(graph.op("Gather", [forcedIds, promptLength])),
    firstPosition: scalar(promptLength),
    cache: greedy.cache,
    cross,
  });
  outputSearch(whenBeams, beams(whenBeams), "beam");

  const [tokenIds, logProbabilities] = graph.cond({
    condition: scalar(isBeamSearch),
    count: 2,
    whenTrue: whenBeams,
    whenFalse: whenGreedy,
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
