/** Greedy decoding as a Loop that ends when every row has met its end token. */

import type { TextConfig } from "../blip/config.ts";
import { addDecoderStep, addLanguageHead } from "../blip/text-graph.ts";
import type { GraphBuilder, Value, Values } from "../onnx/graph-builder.ts";
import { inputCache, outputCache } from "./loop-cache.ts";
import type { SearchResult, SearchStart } from "./search.ts";

/** Adds the loop to `graph`. Rows that end early are filled with the pad token and a log-probability of 0. */
export function addGreedySearch(graph: GraphBuilder, config: TextConfig, start: SearchStart): SearchResult {
  const firstTokens = graph.op("Expand", [start.firstToken, start.batch]);
  const notEnded = graph.cast(graph.op("ConstantOfShape", [start.batch]), "bool");
  const body = graph.subgraph("greedy_step");
  addStep(body, config, start);
  const caches = start.cache.flatMap(({ key, value }) => [key, value]);
  const { stacked } = graph.loop({
    steps: start.steps,
    body,
    carried: [firstTokens, notEnded, ...caches],
    stacked: 2,
  });
  const [tokens, logProbabilities] = stacked as Values<2>; // [steps, batch]
  const byRow = (x: Value) => graph.op("Transpose", [x], { perm: [1, 0] });
  return { tokenIds: byRow(tokens), logProbabilities: byRow(logProbabilities) };
}

function addStep(body: GraphBuilder, config: TextConfig, { firstPosition, cross }: SearchStart): void {
  const iteration = body.input("greedy_iteration", "int64", []);
  body.input("greedy_go_on", "bool", []);
  const token = body.input("greedy_token", "int64", ["batch"]);
  const ended = body.input("greedy_ended", "bool", ["batch"]);
  const step = addDecoderStep(body, config, {
    token,
    position: body.op("Add", [iteration, firstPosition]),
    cache: inputCache(body, config, "greedy"),
    cross,
  });
  const logits = addLanguageHead(body, config, step.hidden);
  const { best, logProbability } = addChoice(body, logits);
  const next = body.op("Where", [ended, body.ints(config.pad_token_id), best]);
  const nowEnded = body.op("Or", [ended, body.op("Equal", [next, body.ints(config.sep_token_id)])]);
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
 * The likeliest token of each row and its log-probability. On a GPU without the reductions that ONNX Runtime gives to cuDNN,
 * which take milliseconds over a vocabulary: all but the sum of float32.
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
