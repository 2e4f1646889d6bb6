/**
 * Beam search as a Loop, step by step the search of transformers' `generate` with its defaults: length penalty 1, no
 * early stopping, one sequence returned.
 * https://github.com/huggingface/transformers/blob/main/src/transformers/generation/utils.py, `_beam_search`
 */

import type { TextConfig } from "../blip/config.ts";
import { addDecoderStep, addLanguageHead } from "../blip/text-graph.ts";
import { ELEMENT_TYPES, type ElementType } from "../onnx/graph.ts";
import type { GraphBuilder, Value } from "../onnx/graph-builder.ts";
import { inputCache, outputCache } from "./loop-cache.ts";
import type { SearchResult, SearchStart } from "./search.ts";

/** Stands for a score that can never win; its size is transformers'. */
const IMPOSSIBLE = -1e9;

/** Values computed once, before the loop. */
interface Constants {
  readonly numBeams: Value;
  /** int64 [1], 2 * numBeams: so many candidates that numBeams are left when the best all end. */
  readonly candidates: Value;
  /** bool [candidates], true for the first numBeams. */
  readonly isTop: Value;
  /** int64 [batch, 1], the first row of each picture. */
  readonly firstRows: Value;
  /** int64 [batch, beams, 1] */
  readonly padColumn: Value;
  /** float [batch, beams, 1] */
  readonly zeroColumn: Value;
  /** int64 scalar */
  readonly lastIteration: Value;
}

/** What the loop carries beside the cache; `t` grows by one a step. */
interface State {
  /** int64 [rows] */
  readonly token: Value;
  /** int64 [batch, beams, t] */
  readonly runningIds: Value;
  /** float [batch, beams, t] */
  readonly runningLogs: Value;
  /** float [batch, beams], sums of log-probabilities */
  readonly runningScores: Value;
  /** int64 [batch, beams, t] */
  readonly finishedIds: Value;
  /** float [batch, beams, t] */
  readonly finishedLogs: Value;
  /** float [batch, beams], means of log-probabilities */
  readonly finishedScores: Value;
  /** bool [batch, beams] */
  readonly isFinished: Value;
  /** bool [batch, 1], whether a running beam can still beat the finished ones */
  readonly canImprove: Value;
}

const STATE: Record<keyof State, { type: ElementType; shape: readonly string[] }> = {
  token: { type: "int64", shape: ["rows"] },
  runningIds: { type: "int64", shape: ["batch", "beams", "t"] },
  runningLogs: { type: "float", shape: ["batch", "beams", "t"] },
  runningScores: { type: "float", shape: ["batch", "beams"] },
  finishedIds: { type: "int64", shape: ["batch", "beams", "t"] },
  finishedLogs: { type: "float", shape: ["batch", "beams", "t"] },
  finishedScores: { type: "float", shape: ["batch", "beams"] },
  isFinished: { type: "bool", shape: ["batch", "beams"] },
  canImprove: { type: "bool", shape: ["batch", "one"] },
};
const STATE_NAMES = Object.keys(STATE) as (keyof State)[];

/** Adds the search to `graph`. @param numBeams int64 [1] */
export function addBeamSearch(
  graph: GraphBuilder,
  config: TextConfig,
  start: SearchStart,
  numBeams: Value,
): SearchResult {
  const { batch, steps } = start;
  const op = graph.op.bind(graph);
  const scalar = (x: Value) => op("Squeeze", [x]);
  const range = (count: Value) => op("Range", [graph.ints(0), scalar(count), graph.ints(1)]);
  const rows = op("Mul", [batch, numBeams]);
  const candidates = op("Mul", [numBeams, graph.ints([2])]);
  const shape = (...sizes: Value[]) => op("Concat", sizes, { axis: 0 });
  const grid = shape(batch, numBeams);
  const column = shape(batch, numBeams, graph.ints([1]));
  const none = shape(batch, numBeams, graph.ints([0]));
  const constants: Constants = {
    numBeams,
    candidates,
    isTop: op("Less", [range(candidates), numBeams]),
    firstRows: op("Unsqueeze", [op("Mul", [range(batch), numBeams]), graph.ints([1])]),
    padColumn: op("Expand", [graph.ints(config.pad_token_id), column]),
    zeroColumn: op("ConstantOfShape", [column]),
    lastIteration: op("Sub", [steps, graph.ints(1)]),
  };

  const noLogs = op("ConstantOfShape", [none]);
  const noIds = op("Cast", [noLogs], { to: ELEMENT_TYPES.int64 });
  const noneFinished = op("Cast", [op("ConstantOfShape", [grid])], { to: ELEMENT_TYPES.bool });
  // Only the first beam may speak at first: the others would say the same.
  const isFirst = op("Equal", [range(numBeams), graph.ints(0)]);
  const firstScores = op("Where", [isFirst, graph.scalar(0), graph.scalar(IMPOSSIBLE)]);
  const initial: State = {
    token: op("Expand", [start.firstToken, rows]),
    runningIds: noIds,
    runningLogs: noLogs,
    runningScores: op("Expand", [firstScores, grid]),
    finishedIds: noIds,
    finishedLogs: noLogs,
    finishedScores: op("Expand", [graph.scalar(IMPOSSIBLE), grid]),
    isFinished: noneFinished,
    canImprove: op("Expand", [graph.bool(true), shape(batch, graph.ints([1]))]),
  };
  const pictureOfRow = op("Div", [range(rows), numBeams]);
  const caches = start.cache.flatMap(({ key, value }) =>
    [key, value].map((x) => op("Gather", [x, pictureOfRow], { axis: 0 })),
  );

  const body = graph.subgraph("beam_step");
  addStep(body, config, start, constants);
  const results = graph.ops(
    "Loop",
    STATE_NAMES.length + caches.length,
    [steps, graph.bool(true), ...STATE_NAMES.map((name) => initial[name]), ...caches],
    { body: { kind: "graph", value: body.build() } },
  );
  const best = (name: keyof State) =>
    op("Gather", [results[STATE_NAMES.indexOf(name)] as Value, graph.ints(0)], { axis: 1 });
  return { tokenIds: best("finishedIds"), logProbabilities: best("finishedLogs") };
}

function addStep(
  body: GraphBuilder,
  config: TextConfig,
  { firstPosition, cross }: SearchStart,
  { numBeams, candidates, isTop, firstRows, padColumn, zeroColumn, lastIteration }: Constants,
): void {
  const op = body.op.bind(body);
  const iteration = body.input("beam_iteration", "int64", []);
  body.input("beam_go_on", "bool", []);
  const state = Object.fromEntries(
    STATE_NAMES.map((name) => [name, body.input(`beam_${name}`, STATE[name].type, STATE[name].shape)]),
  ) as Record<keyof State, Value>;
  const step = addDecoderStep(body, config, {
    token: state.token,
    position: op("Add", [iteration, firstPosition]),
    cache: inputCache(body, config, "beam"),
    cross,
    rowsPerPicture: numBeams,
  });

  const vocabulary = body.ints(config.vocab_size);
  const asColumn = (x: Value) => op("Unsqueeze", [x, body.ints([2])]);
  /** Whole beams of [batch, beams, t] by [batch, n] indices. */
  const beamsAt = (x: Value, indices: Value) => op("GatherND", [x, asColumn(indices)], { batch_dims: 1 });
  /** Values of [batch, n] by [batch, m] indices. */
  const valuesAt = (x: Value, indices: Value) => op("GatherElements", [x, indices], { axis: 1 });
  const topK = (x: Value, k: Value) => body.ops("TopK", 2, [x, k], { axis: 1 }) as [Value, Value];
  const impossibleWhere = (condition: Value) =>
    op("Where", [condition, body.scalar(IMPOSSIBLE), body.scalar(0)]);
  const any = (x: Value, axes: Value[], keep: number) =>
    op(
      "Cast",
      [op("ReduceMax", [op("Cast", [x], { to: ELEMENT_TYPES.int32 }), ...axes], { keepdims: keep })],
      { to: ELEMENT_TYPES.bool },
    );

  // The best continuations of all beams together.
  const logs = op("LogSoftmax", [addLanguageHead(body, config, step.hidden)], { axis: 1 });
  const perPicture = op("Concat", [body.ints([-1]), numBeams, body.ints([config.vocab_size])], { axis: 0 });
  const byBeam = op("Reshape", [logs, perPicture]);
  const total = op("Add", [byBeam, asColumn(state.runningScores)]);
  const flat = (x: Value) => op("Reshape", [x, body.ints([0, -1])]);
  const [scores, choices] = topK(flat(total), candidates);
  const fromBeam = op("Div", [choices, vocabulary]);
  const token = op("Mod", [choices, vocabulary]);
  const extend = (past: Value, added: Value) =>
    op("Concat", [beamsAt(past, fromBeam), asColumn(added)], { axis: 2 });
  const ids = extend(state.runningIds, token);
  const logProbabilities = extend(state.runningLogs, valuesAt(flat(byBeam), choices));
  const ends = op("Or", [
    op("Equal", [token, body.ints(config.sep_token_id)]),
    op("Equal", [iteration, lastIteration]),
  ]);

  // Those that go on.
  const [runningScores, running] = topK(op("Add", [scores, impossibleWhere(ends)]), numBeams);
  const sourceRow = op("Reshape", [op("Add", [valuesAt(fromBeam, running), firstRows]), body.ints([-1])]);

  // Those that have ended, with the best that had ended before.
  const justFinished = op("And", [ends, isTop]);
  const length = op("Cast", [op("Add", [iteration, body.ints(1)])], { to: ELEMENT_TYPES.float });
  const endScores = op("Add", [
    op("Add", [op("Div", [scores, length]), impossibleWhere(op("Not", [state.canImprove]))]),
    impossibleWhere(op("Not", [justFinished])),
  ]);
  const merge = (before: Value, now: Value) => op("Concat", [before, now], { axis: 1 });
  const widen = (past: Value, filler: Value) => op("Concat", [past, filler], { axis: 2 });
  const [finishedScores, kept] = topK(merge(state.finishedScores, endScores), numBeams);
  const isFinished = valuesAt(merge(state.isFinished, justFinished), kept);

  // Whether the best running beam, at its present length, could still enter the finished ones.
  const bestRunning = op("Div", [
    op("Slice", [runningScores, body.ints([0]), body.ints([1]), body.ints([1])]),
    length,
  ]);
  const worst = op("Where", [
    isFinished,
    op("ReduceMin", [finishedScores, body.ints([1])], { keepdims: 1 }),
    body.scalar(IMPOSSIBLE),
  ]);
  const canImprove = op("And", [
    state.canImprove,
    any(op("Greater", [bestRunning, worst]), [body.ints([1])], 1),
  ]);
  const goOn = op("And", [any(canImprove, [], 0), any(op("Not", [ends]), [], 0)]);

  const next: State = {
    token: op("Reshape", [valuesAt(token, running), body.ints([-1])]),
    runningIds: beamsAt(ids, running),
    runningLogs: beamsAt(logProbabilities, running),
    runningScores,
    finishedIds: beamsAt(merge(widen(state.finishedIds, padColumn), ids), kept),
    finishedLogs: beamsAt(merge(widen(state.finishedLogs, zeroColumn), logProbabilities), kept),
    finishedScores,
    isFinished,
    canImprove,
  };
  body.output(goOn, "beam_next_go_on", "bool", []);
  for (const name of STATE_NAMES) {
    const { type, shape } = STATE[name];
    body.output(
      next[name],
      `beam_next_${name}`,
      type,
      shape.map((size) => (size === "t" ? "t_next" : size)),
    );
  }
  const reordered = step.cache.map(({ key, value }) => ({
    key: op("Gather", [key, sourceRow], { axis: 0 }),
    value: op("Gather", [value, sourceRow], { axis: 0 }),
  }));
  outputCache(body, config, "beam", reordered);
}
