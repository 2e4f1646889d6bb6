/**
 * BLIP's text decoder, a BERT with cross-attention, and the decode loop around it, as pieces of an ONNX graph.
 * Li et al. 2022, arXiv:2201.12086. The loop is inside the graph, so a batch of captions is one call into the engine.
 */

import type { TextConfig } from "./blip-config.ts";
import type { GraphBuilder, Value } from "./graph-builder.ts";
import { attention, feedForward, layerNorm, linear, linears } from "./layers.ts";

const LAYER = "text_decoder.bert.encoder.layer";
const EMBEDDINGS = "text_decoder.bert.embeddings";
const HEAD = "text_decoder.cls.predictions";

const FLOAT = 1;
const INT32 = 6;
const BOOL = 9;

/** Keys and values of one attention: [batch, heads, length, hidden / heads] each. */
export interface KeyValue {
  readonly key: Value;
  readonly value: Value;
}

/** Keys and values of the encoded pictures for every layer, computed once a picture. */
export function addCrossKeyValues(
  graph: GraphBuilder,
  config: TextConfig,
  encoded: Value,
  encodedTokens: number,
): KeyValue[] {
  const { hidden_size: hidden, num_attention_heads: heads } = config;
  const split = graph.ints([-1, encodedTokens, heads, hidden / heads]);
  const byHead = (x: Value) =>
    graph.op("Transpose", [graph.op("Reshape", [x, split])], { perm: [0, 2, 1, 3] });
  return Array.from({ length: config.num_hidden_layers }, (_, i) => {
    const parent = `${LAYER}.${i}.crossattention.self`;
    const [key, value] = linears(graph, encoded, parent, ["key", "value"]).map(byHead) as [Value, Value];
    return { key, value };
  });
}

/** Empty self-attention keys and values, [batch, heads, 0, hidden / heads], for a first step. */
export function addEmptyCache(graph: GraphBuilder, config: TextConfig, batch: Value): KeyValue[] {
  const { hidden_size: hidden, num_attention_heads: heads } = config;
  const shape = graph.op("Concat", [batch, graph.ints([heads, 0, hidden / heads])], { axis: 0 });
  const zeros = graph.op("ConstantOfShape", [shape]);
  const empty = graph.floatType === "float" ? zeros : graph.op("Cast", [zeros], { to: 10 });
  return Array.from({ length: config.num_hidden_layers }, () => ({ key: empty, value: empty }));
}

/**
 * One step of the decoder.
 * @param token int64 [batch]
 * @param position int64 scalar
 * @returns logits float32 [batch, vocabulary] and the cache grown by this step
 */
export function addDecoderStep(
  graph: GraphBuilder,
  config: TextConfig,
  {
    token,
    position,
    cache,
    cross,
  }: {
    token: Value;
    position: Value;
    cache: readonly KeyValue[];
    cross: readonly KeyValue[];
  },
): { logits: Value; cache: KeyValue[] } {
  const { num_attention_heads: heads, layer_norm_eps: epsilon } = config;
  const asStep = (x: Value) => graph.op("Unsqueeze", [x, graph.ints([1])]);
  const asRows = (x: Value) => graph.op("Squeeze", [x, graph.ints([1])]);

  const word = graph.op("Gather", [graph.weight(`${EMBEDDINGS}.word_embeddings.weight`), token]);
  const place = graph.op("Gather", [graph.weight(`${EMBEDDINGS}.position_embeddings.weight`), position]);
  let x = layerNorm(graph, graph.op("Add", [word, place]), `${EMBEDDINGS}.LayerNorm`, epsilon);

  const grown = cache.map((past, i) => {
    const layer = `${LAYER}.${i}`;
    const closeAttention = (context: Value, module: string) => {
      const projected = linear(graph, asRows(context), `${module}.output.dense`);
      return layerNorm(graph, graph.op("Add", [projected, x]), `${module}.output.LayerNorm`, epsilon);
    };

    const qkv = linears(graph, x, `${layer}.attention.self`, ["query", "key", "value"]);
    const [context, key, value] = graph.ops(
      "com.microsoft:MultiHeadAttention",
      3,
      [...qkv.map(asStep), "", "", "", past.key, past.value],
      { num_heads: heads },
    ) as [Value, Value, Value];
    x = closeAttention(context, `${layer}.attention`);

    const crossLayer = cross[i] as KeyValue;
    const query = asStep(linear(graph, x, `${layer}.crossattention.self.query`));
    x = closeAttention(
      attention(graph, query, crossLayer.key, crossLayer.value, heads),
      `${layer}.crossattention`,
    );

    const fed = feedForward(graph, x, `${layer}.intermediate.dense`, `${layer}.output.dense`);
    x = layerNorm(graph, graph.op("Add", [fed, x]), `${layer}.output.LayerNorm`, epsilon);
    return { key, value };
  });

  const transformed = graph.op("Gelu", [linear(graph, x, `${HEAD}.transform.dense`)]);
  const normed = layerNorm(graph, transformed, `${HEAD}.transform.LayerNorm`, epsilon);
  // The output matrix is the word embedding (tied weights), so it is stored once.
  const logits = graph.op(
    "Gemm",
    [normed, graph.weight(`${EMBEDDINGS}.word_embeddings.weight`), graph.weight(`${HEAD}.bias`)],
    { transB: 1 },
  );
  return {
    logits: graph.floatType === "float" ? logits : graph.op("Cast", [logits], { to: FLOAT }),
    cache: grown,
  };
}

/**
 * Greedy decoding as a Loop that ends when every row has. Rows that ended early are filled with the pad token.
 * @param batch int64 [1]
 * @param maxNewTokens int64 [1]
 * @param promptIds int64 [prompt], forced after the begin token; may be empty
 * @returns token ids int64 [batch, steps] and log-probabilities float32 [batch, steps], prompt excluded
 */
export function addGreedyDecoding(
  graph: GraphBuilder,
  config: TextConfig,
  {
    batch,
    maxNewTokens,
    promptIds,
    cross,
  }: {
    batch: Value;
    maxNewTokens: Value;
    promptIds: Value;
    cross: readonly KeyValue[];
  },
): { tokenIds: Value; logProbabilities: Value } {
  const promptLength = graph.op("Shape", [promptIds]);
  const wanted = graph.op("Add", [promptLength, maxNewTokens]);
  const steps = graph.op("Squeeze", [
    graph.op("Min", [wanted, graph.ints([config.max_position_embeddings])]),
  ]);
  const firstToken = graph.op("Expand", [graph.ints(config.bos_token_id), batch]);
  const notEnded = graph.op("Cast", [graph.op("ConstantOfShape", [batch])], { to: BOOL });
  // One more id than the prompt has, so that the lookup in the loop is valid at every step.
  const forcedIds = graph.op("Concat", [promptIds, graph.ints([config.pad_token_id])], { axis: 0 });

  const body = graph.subgraph("decode_step");
  addLoopBody(body, config, { cross, forcedIds, promptLength });
  const caches = addEmptyCache(graph, config, batch).flatMap(({ key, value }) => [key, value]);
  const results = graph.ops(
    "Loop",
    2 + caches.length + 2,
    [steps, graph.bool(true), firstToken, notEnded, ...caches],
    {
      body: { kind: "graph", value: body.build() },
    },
  );

  const [tokens, logProbabilities] = results.slice(-2) as [Value, Value]; // [steps, batch]
  const withoutPrompt = (x: Value) =>
    graph.op("Slice", [x, promptLength, graph.ints([Number.MAX_SAFE_INTEGER]), graph.ints([0])]);
  const byRow = (x: Value) => graph.op("Transpose", [withoutPrompt(x)], { perm: [1, 0] });
  return { tokenIds: byRow(tokens), logProbabilities: byRow(logProbabilities) };
}

function addLoopBody(
  body: GraphBuilder,
  config: TextConfig,
  { cross, forcedIds, promptLength }: { cross: readonly KeyValue[]; forcedIds: Value; promptLength: Value },
): void {
  const { hidden_size: hidden, num_attention_heads: heads } = config;
  const iteration = body.input("iteration", "int64", []);
  body.input("go_on", "bool", []);
  const token = body.input("token", "int64", ["batch"]);
  const ended = body.input("ended", "bool", ["batch"]);
  const cacheShape = (length: string) => ["batch", heads, length, hidden / heads];
  const cache = cross.map((_, i) => ({
    key: body.input(`past_key_${i}`, body.floatType, cacheShape("past")),
    value: body.input(`past_value_${i}`, body.floatType, cacheShape("past")),
  }));

  const step = addDecoderStep(body, config, { token, position: iteration, cache, cross });
  const best = body.op("ArgMax", [step.logits], { axis: 1, keepdims: 0 });
  const logProbability = body.op("Sub", [
    body.op("ReduceMax", [step.logits, body.ints([1])], { keepdims: 0 }),
    body.op("ReduceLogSumExp", [step.logits, body.ints([1])], { keepdims: 0 }),
  ]);

  const length = body.op("Squeeze", [promptLength]);
  const inPrompt = body.op("Less", [iteration, length]);
  const forced = body.op("Gather", [forcedIds, body.op("Min", [iteration, length])]);
  const chosen = body.op("Where", [inPrompt, forced, best]);
  const next = body.op("Where", [ended, body.ints(config.pad_token_id), chosen]);
  const isEnd = body.op("And", [
    body.op("Equal", [next, body.ints(config.sep_token_id)]),
    body.op("Not", [inPrompt]),
  ]);
  const nowEnded = body.op("Or", [ended, isEnd]);
  const open = body.op("Cast", [body.op("Not", [nowEnded])], { to: INT32 });
  const goOn = body.op("Cast", [body.op("ReduceMax", [open], { keepdims: 0 })], { to: BOOL });

  body.output(goOn, "next_go_on", "bool", []);
  body.output(next, "next_token", "int64", ["batch"]);
  body.output(nowEnded, "next_ended", "bool", ["batch"]);
  step.cache.forEach(({ key, value }, i) => {
    body.output(key, `present_key_${i}`, body.floatType, cacheShape("present"));
    body.output(value, `present_value_${i}`, body.floatType, cacheShape("present"));
  });
  body.output(next, "step_token", "int64", ["batch"]);
  body.output(logProbability, "step_log_probability", "float", ["batch"]);
}
