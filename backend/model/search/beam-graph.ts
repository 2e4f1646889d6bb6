/**
 * Beam search as a Loop. Each step follows transformers' `generate` with its defaults: length penalty 1, no early
 * stopping, one sequence returned.
 * https://github.com/huggingface/transformers/blob/main/src/transformers/generation/utils.py, `_beam_search`
 */

import type { TextConfig } from "../blip/config.ts";
import { addDecoderStep, addLanguageHead, type KeyValue } from "../blip/text-graph.ts";
import type { ElementType } from "../onnx/graph.ts";
import type { GraphBuilder, Value, Values } from "../onnx/graph-builder.ts";
import { inputCache, outputCache } from "./loop-cache.ts";
import type { SearchResult } from "./search.ts";

/** A score that can never win, as large as in transformers. */
const IMPOSSIBLE = -1e9;

interface BeamStart {
  /** Number of pictures, int64 [1]. */
  readonly batch: Value;
  /** Beams per picture, int64 [1]. */
  readonly numBeams: Value;
  /** Most steps, int64 scalar. */
  readonly steps: Value;
  /** The token before the first generated one, int64 scalar. */
  readonly firstToken: Value;
  /** Its position, int64 scalar. */
  readonly firstPosition: Value;
  /** Self-attention keys and values of everything before it, one row per picture. */
  readonly cache: readonly KeyValue[];
  readonly cross: readonly KeyValue[];
}

/** Values computed once, before the loop. */
interface Constants {
  readonly numBeams: Value;
  /** int64 [1], 2 * numBeams: enough candidates that numBeams are left even if the best all end. */
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

/** What the loop carries in addition to the cache; `t` grows by one per step. */
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

/** Adds the search to `graph`. @returns a function that gives its result in this graph or in a branch */
export function addBeamSearch(
  graph: GraphBuilder,
  config: TextConfig,
  start: BeamStart,
): (graph: GraphBuilder) => SearchResult {
  const { batch, numBeams, steps } = start;
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
  const noIds = graph.cast(noLogs, "int64");
  const noneFinished = graph.cast(op("ConstantOfShape", [grid]), "bool");
  // At first only the first beam may continue, because the others would say the same.
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
  const { carried } = graph.loop({
    steps,
    body,
    carried: [...STATE_NAMES.map((name) => initial[name]), ...caches],
  });
  return (graph) => {
    const best = (name: keyof State) =>
      graph.op("Gather", [carried[STATE_NAMES.indexOf(name)] as Value, graph.ints(0)], { axis: 1 });
    return { tokenIds: best("finishedIds"), logProbabilities: best("finishedLogs") };
  };
}

/** The loop's body: one decoder step, then the four parts of a search step. */
function addStep(body: GraphBuilder, config: TextConfig, start: BeamStart, constants: Constants): void {
  const iteration = body.input("beam_iteration", "int64", []);
  body.input("beam_go_on", "bool", []);
  const state = Object.fromEntries(
    STATE_NAMES.map((name) => [name, body.input(`beam_${name}`, STATE[name].type, STATE[name].shape)]),
  ) as Record<keyof State, Value>;
  const decoded = addDecoderStep(body, config, {
    token: state.token,
    position: body.op("Add", [iteration, start.firstPosition]),
    cache: inputCache(body, config, "beam"),
    cross: start.cross,
    rowsPerPicture: constants.numBeams,
  });
  const step: Step = { body, config, constants, state, iteration };
  const candidates = addCandidates(step, decoded.hidden);
  const running = addRunning(step, candidates);
  const finished = addFinished(step, candidates);
  const { canImprove, goOn } = addStopping(step, {
    ends: candidates.ends,
    length: finished.length,
    running: running.next,
    finished: finished.next,
  });

  body.output(goOn, "beam_next_go_on", "bool", []);
  const next: State = { ...running.next, ...finished.next, canImprove };
  for (const name of STATE_NAMES) {
    const { type, shape } = STATE[name];
    body.output(
      next[name],
      `beam_next_${name}`,
      type,
      shape.map((size) => (size === "t" ? "t_next" : size)),
    );
  }
  const ofSource = (x: Value) => body.op("Gather", [x, running.sourceRow], { axis: 0 });
  const reordered = decoded.cache.map(({ key, value }) => ({ key: ofSource(key), value: ofSource(value) }));
  outputCache(body, config, "beam", reordered);
}

/** The inputs that every part of a step reads. */
interface Step {
  readonly body: GraphBuilder;
  readonly config: TextConfig;
  readonly constants: Constants;
  readonly state: State;
  /** int64 scalar, from 0 */
  readonly iteration: Value;
}

/** The best continuations over all beams of a picture; `n` is `candidates`. */
interface Candidates {
  /** float [batch, n], sums of log-probabilities */
  readonly scores: Value;
  /** int64 [batch, n], the beam that each continues */
  readonly fromBeam: Value;
  /** int64 [batch, n] */
  readonly token: Value;
  /** int64 [batch, n, t + 1] */
  readonly ids: Value;
  /** float [batch, n, t + 1] */
  readonly logProbabilities: Value;
  /** bool [batch, n], whether it ends here */
  readonly ends: Value;
}

/** @param hidden [rows, hidden] from the decoder */
function addCandidates({ body, config, constants, state, iteration }: Step, hidden: Value): Candidates {
  const op = body.op.bind(body);
  const { numBeams, candidates, lastIteration } = constants;
  const vocabulary = body.ints(config.vocab_size);
  const logs = op("LogSoftmax", [addLanguageHead(body, config, hidden)], { axis: 1 });
  const perPicture = op("Concat", [body.ints([-1]), numBeams, body.ints([config.vocab_size])], { axis: 0 });
  const byBeam = op("Reshape", [logs, perPicture]);
  const total = op("Add", [byBeam, asColumn(body, state.runningScores)]);
  const flat = (x: Value) => op("Reshape", [x, body.ints([0, -1])]);
  const [scores, choices] = topK(body, flat(total), candidates);
  const fromBeam = op("Div", [choices, vocabulary]);
  const token = op("Mod", [choices, vocabulary]);
  const extend = (past: Value, added: Value) =>
    op("Concat", [beamsAt(body, past, fromBeam), asColumn(body, added)], { axis: 2 });
  return {
    scores,
    fromBeam,
    token,
    ids: extend(state.runningIds, token),
    logProbabilities: extend(state.runningLogs, valuesAt(body, flat(byBeam), choices)),
    ends: op("Or", [
      op("Equal", [token, body.ints(config.sep_token_id)]),
      op("Equal", [iteration, lastIteration]),
    ]),
  };
}

/** The best candidates that go on, and the row of the cache that each of them continues. */
function addRunning({ body, constants }: Step, candidates: Candidates) {
  const op = body.op.bind(body);
  const { scores, fromBeam, token, ids, logProbabilities, ends } = candidates;
  const [runningScores, kept] = topK(
    body,
    op("Add", [scores, impossibleWhere(body, ends)]),
    constants.numBeams,
  );
  const sources = op("Add", [valuesAt(body, fromBeam, kept), constants.firstRows]);
  return {
    sourceRow: op("Reshape", [sources, body.ints([-1])]),
    next: {
      token: op("Reshape", [valuesAt(body, token, kept), body.ints([-1])]),
      runningIds: beamsAt(body, ids, kept),
      runningLogs: beamsAt(body, logProbabilities, kept),
      runningScores,
    },
  };
}

/** The best beams that have ended, now or earlier. */
function addFinished({ body, constants, state, iteration }: Step, candidates: Candidates) {
  const op = body.op.bind(body);
  const { scores, ids, logProbabilities, ends } = candidates;
  const justFinished = op("And", [ends, constants.isTop]);
  const length = body.cast(op("Add", [iteration, body.ints(1)]), "float");
  const endScores = op("Add", [
    op("Add", [op("Div", [scores, length]), impossibleWhere(body, op("Not", [state.canImprove]))]),
    impossibleWhere(body, op("Not", [justFinished])),
  ]);
  const merge = (before: Value, now: Value) => op("Concat", [before, now], { axis: 1 });
  const widen = (past: Value, filler: Value) => op("Concat", [past, filler], { axis: 2 });
  const [finishedScores, kept] = topK(body, merge(state.finishedScores, endScores), constants.numBeams);
  const finishedIds = merge(widen(state.finishedIds, constants.padColumn), ids);
  const finishedLogs = merge(widen(state.finishedLogs, constants.zeroColumn), logProbabilities);
  return {
    length,
    next: {
      finishedIds: beamsAt(body, finishedIds, kept),
      finishedLogs: beamsAt(body, finishedLogs, kept),
      finishedScores,
      isFinished: valuesAt(body, merge(state.isFinished, justFinished), kept),
    },
  };
}

/** Whether the best running beam of a picture could still enter the finished ones, at its present length. */
function addStopping(
  { body, state }: Step,
  {
    ends,
    length,
    running,
    finished,
  }: {
    readonly ends: Value;
    readonly length: Value;
    readonly running: Pick<State, "runningScores">;
    readonly finished: Pick<State, "finishedScores" | "isFinished">;
  },
): { canImprove: Value; goOn: Value } {
  const op = body.op.bind(body);
  const any = (x: Value, axes: Value[], keepdims: number) =>
    body.cast(op("ReduceMax", [body.cast(x, "int32"), ...axes], { keepdims }), "bool");
  const bestRunning = op("Div", [
    op("Slice", [running.runningScores, body.ints([0]), body.ints([1]), body.ints([1])]),
    length,
  ]);
  const worst = op("Where", [
    finished.isFinished,
    op("ReduceMin", [finished.finishedScores, body.ints([1])], { keepdims: 1 }),
    body.scalar(IMPOSSIBLE),
  ]);
  const canImprove = op("And", [
    state.canImprove,
    any(op("Greater", [bestRunning, worst]), [body.ints([1])], 1),
  ]);
  return { canImprove, goOn: op("And", [any(canImprove, [], 0), any(op("Not", [ends]), [], 0)]) };
}

/** [batch, n] to [batch, n, 1] */
function asColumn(graph: GraphBuilder, x: Value): Value {
  return graph.op("Unsqueeze", [x, graph.ints([2])]);
}

/** Whole beams of [batch, beams, t] by [batch, n] indices. */
function beamsAt(graph: GraphBuilder, x: Value, indices: Value): Value {
  return graph.op("GatherND", [x, asColumn(graph, indices)], { batch_dims: 1 });
}

/** Values of [batch, n] by [batch, m] indices. */
function valuesAt(graph: GraphBuilder, x: Value, indices: Value): Value {
  return graph.op("GatherElements", [x, indices], { axis: 1 });
}

/** The `k` largest values, int64 [1], of each row of [batch, n], and their indices. */
function topK(graph: GraphBuilder, x: Value, k: Value): Values<2> {
  return graph.ops("TopK", 2, [x, k], { axis: 1 });
}

/** A value that, added to scores, rules them out where `condition` holds. */
function impossibleWhere(graph: GraphBuilder, condition: Value): Value {
  return graph.op("Where", [condition, graph.scalar(IMPOSSIBLE), graph.scalar(0)]);
}
