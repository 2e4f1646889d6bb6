/**
 * Greedy decoding as a Loop that ends when every row has met its end token. Its first tokens are those of the
 * prompt, so that it also computes the keys and values from which beam search starts.
 */

import type { TextConfig } from "../blip/config.ts";
import { addDecoderStep, addEmptyCache, addLanguageHead, type KeyValue } from "../blip/text-graph.ts";
import type { GraphBuilder, Value, Values } from "../onnx/graph-builder.ts";
import { inputCache, outputCache, pairs } from "./loop-cache.ts";
import type { SearchResult } from "./search.ts";

/** Takes the place of a forced token if the model may choose. */
const FREE = -1;

interface GreedyStart {
  /** Number of pictures, int64 [1]. */
  readonly batch: Value;
  /** int64 [prompt], without the begin token */
  readonly promptIds: Value;
  /** Most tokens after the prompt, int64 [1]. */
  readonly steps: Value;
  /** Most steps of the loop, int64 scalar: those of the prompt alone, or all. */
  readonly loopSteps: Value;
  readonly cross: readonly KeyValue[];
}

export interface GreedySearch {
  /**
   * Gives the result in this graph or in a branch. Rows that ended early have the pad token and a log-probability
   * of 0.
   */
  readonly result: (graph: GraphBuilder) => SearchResult;
  /** Self-attention keys and values of the begin token, the prompt and the chosen tokens except the last. */
  readonly cache: readonly KeyValue[];
}

/** Adds the loop to `graph`. */
export function addGreedySearch(
  graph: GraphBuilder,
  config: TextConfig,
  { batch, promptIds, steps, loopSteps, cross }: GreedyStart,
): GreedySearch {
  const free = graph.op("Expand", [graph.ints(FREE), steps]);
  const forcedNext = graph.op("Concat", [promptIds, free], { axis: 0 });
  const firstTokens = graph.op("Expand", [graph.ints(config.bos_token_id), batch]);
  const notEnded = graph.cast(graph.op("ConstantOfShape", [batch]), "bool");
  const body = graph.subgraph("greedy_step");
  addStep(body, config, forcedNext, cross);
  const empty = addEmptyCache(graph, config, batch).flatMap(({ key, value }) => [key, value]);
  const { carried, stacked } = graph.loop({
    steps: loopSteps,
    body,
    carried: [firstTokens, notEnded, ...empty],
    stacked: 2,
  });
  const [tokens, logs] = stacked as Values<2>; // [prompt + steps, batch]
  const result = (graph: GraphBuilder) => {
    const ends = graph.ints([Number.MAX_SAFE_INTEGER]);
    const byRow = (x: Value) =>
      graph.op("Transpose", [graph.op("Slice", [x, graph.op("Shape", [promptIds]), ends])], { perm: [1, 0] });
    return { tokenIds: byRow(tokens), logProbabilities: byRow(logs) };
  };
  return { result, cache: pairs(carried.slice(2)) };
}

/** @param forcedNext the token after each step, int64 [prompt + steps]: the prompt's tokens, then `FREE` */
function addStep(
  body: GraphBuilder,
  config: TextConfig,
  forcedNext: Value,
  cross: readonly KeyValue[],
): void {
  const iteration = body.input("greedy_iteration", "int64", []);
  body.input("greedy_go_on", "bool", []);
  const token = body.input("greedy_token", "int64", ["batch"]);
  const ended = body.input("greedy_ended", "bool", ["batch"]);
  const step = addDecoderStep(body, config, {
    token,
    position: iteration,
    cache: inputCache(body, config, "greedy"),
    cross,
  });
  const logits = addLanguageHead(body, config, step.hidden);
  const { best, logProbability } = addChoice(body, logits);
  const forced = body.op("Gather", [forcedNext, iteration]);
  const isFree = body.op("Equal", [forced, body.ints(FREE)]);
  const chosen = body.op("Where", [ended, body.ints(config.pad_token_id), best]);
  const ends = body.op("And", [isFree, body.op("Equal", [chosen, body.ints(config.sep_token_id)])]);
  const nowEnded = body.op("Or", [ended, ends]);
  const next = body.op("Where", [isFree, chosen, forced]);
  const open = body.cast(body.op("Not", [nowEnded]), body.forGpu ? "float" : "int32");
  const goOn = body.cast(body.op(body.forGpu ? "ReduceSum" : "ReduceMax", [open], { keepdims: 0 }), "bool");

  body.output(goOn, "greedy_next_go_on", "bool", []);
  body.output(next, "greedy_next_token", "int64", ["batch"]);
  body.output(nowEnded, "greedy_next_ended", "bool", ["batch"]);
  outputCache(body, config, "greedy", step.cache);
  body.output(next, "greedy_step_token", "int64", ["batch"]);
  body.output(
    body.op("Where", [ended, body.scalar(0), logProbability]),
    "greedy_step_log_probability",
    "float",
    ["batch"],
  );
}

/**
 * The likeliest token of each row and its log-probability. On a GPU this avoids the reductions that ONNX Runtime
 * leaves to cuDNN, which take milliseconds over a vocabulary; the sum of float32 is the exception.
 * @param logits float32 [rows, vocabulary]
 */
function addChoice(graph: GraphBuilder, logits: Value): { best: Value; logProbability: Value } {
  const vocabulary = graph.ints([1]);
  if (!graph.forGpu) {
    const best = graph.op("ArgMax", [logits], { axis: 1, keepdims: 0 });
    const logProbability = graph.op("Sub", [
      graph.op("ReduceMax", [logits, vocabulary], { keepdims: 0 }),
      graph.op("ReduceLogSumExp", [logits, vocabulary], { keepdims: 0 }),
    ]);
    return { best, logProbability };
  }
  const [top, index] = graph.ops("TopK", 2, [logits, graph.ints([1])], { axis: 1 });
  const weights = graph.op("Exp", [graph.op("Sub", [logits, top])]);
  const total = graph.op("ReduceSum", [weights, vocabulary], { keepdims: 0 });
  return {
    best: graph.op("Squeeze", [index, vocabulary]),
    logProbability: graph.op("Neg", [graph.op("Log", [total])]),
  };
}
