/**
 * Rewrites a caption graph for Triton's dynamic batcher: every input gets a batch dimension. Greedy decoding is
 * prefix-consistent, so rows that ask for different lengths may share a forward pass that generates the longest.
 * Rows with different beams or prompts may not, so those become constants. Weights are copied without being
 * decoded.
 */

import { type FileHandle, open } from "node:fs/promises";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { PORTS } from "../../bundle/ports.ts";
import { ROW_MAX_NEW_TOKENS } from "../../bundle/triton-models.ts";
import { ELEMENT_TYPES, type Node } from "../onnx/graph.ts";
import { encodeFieldHead, encodeGraph, GRAPH, MODEL, VALUE_INFO } from "../onnx/protobuf.ts";

/** Longest tag and length in front of a field. */
const FIELD_HEAD_BYTES = 20;
const COPY_BYTES = 1 << 20;

/** Inputs that stop being inputs: a node of the same name computes each of them instead. */
const OPTIONS: readonly string[] = [PORTS.maxNewTokens, PORTS.numBeams, PORTS.promptIds];

function node(type: string, inputs: string[], output: string, attributes: Node["attributes"] = {}): Node {
  return { type, domain: "", inputs, outputs: [output], attributes };
}

const OPTION_NODES: readonly Node[] = [
  node("ReduceMax", [ROW_MAX_NEW_TOKENS], "longest_row", { keepdims: { kind: "int", value: 0 } }),
  node("Constant", [], "one_element", { value_ints: { kind: "ints", value: [1] } }),
  node("Reshape", ["longest_row", "one_element"], PORTS.maxNewTokens),
  node("Constant", [], PORTS.numBeams, { value_ints: { kind: "ints", value: [1] } }),
  node("Constant", [], "no_element", { value_ints: { kind: "ints", value: [0] } }),
  node("ConstantOfShape", ["no_element"], "no_prompt"),
  node("Cast", ["no_prompt"], PORTS.promptIds, { to: { kind: "int", value: ELEMENT_TYPES.int64 } }),
];

/**
 * Writes `from` to `to`, with the inputs `pixels` and `row_max_new_tokens`. Weights outside the file are not
 * copied: `to` needs them beside it under the same name.
 * @throws Error if `from` is not a caption graph
 */
export async function writeBatchableGraph(from: string, to: string): Promise<void> {
  const source = await open(from, "r");
  try {
    const { size } = await source.stat();
    const graph = (await readFields(source, 0, size)).find(({ number }) => number === MODEL.graph);
    if (graph === undefined) throw new Error(`${from} is not an ONNX model.`);
    const kept: Field[] = [];
    const dropped: string[] = [];
    for (const field of await readFields(source, graph.bodyStart, graph.end)) {
      const name = field.number === GRAPH.input ? await readName(source, field) : "";
      if (OPTIONS.includes(name)) dropped.push(name);
      else kept.push(field);
    }
    if (dropped.length !== OPTIONS.length) {
      throw new Error(
        `${from} is not a caption graph: it should have the inputs ${OPTIONS}, but of these it has ${dropped}.`,
      );
    }
    // Repeated fields may lie anywhere in a message, but nodes run in their order, so these come first.
    const head = encodeGraph({
      name: "",
      nodes: OPTION_NODES,
      inputs: [{ name: ROW_MAX_NEW_TOKENS, type: "int64", shape: ["batch", 1] }],
      outputs: [],
      initializers: [],
    });
    const graphBytes = kept.reduce((sum, { start, end }) => sum + end - start, head.length);
    const target = await open(to, "w");
    try {
      await copy(source, target, 0, graph.start);
      await target.appendFile(encodeFieldHead(MODEL.graph, graphBytes));
      await target.appendFile(head);
      for (const { start, end } of kept) await copy(source, target, start, end);
      await copy(source, target, graph.end, size);
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

/** One field of a protobuf message, as byte offsets in the file. */
interface Field {
  readonly number: number;
  /** Where its tag begins. */
  readonly start: number;
  /** Where its content begins. */
  readonly bodyStart: number;
  readonly end: number;
}

/** Lists the fields between two offsets; their contents are skipped. */
async function readFields(file: FileHandle, start: number, end: number): Promise<Field[]> {
  const fields: Field[] = [];
  const head = new Uint8Array(FIELD_HEAD_BYTES);
  for (let at = start; at < end; ) {
    await file.read(head, 0, FIELD_HEAD_BYTES, at);
    const reader = new BinaryReader(head);
    const [number, wireType] = reader.tag();
    // Models and graphs use only two wire types: plain integers, and contents preceded by their length.
    const isContent = wireType === WireType.LengthDelimited;
    const length = isContent ? reader.uint32() : 0;
    if (!isContent) reader.skip(wireType);
    const bodyStart = at + reader.pos;
    const fieldEnd = bodyStart + length;
    fields.push({ number, start: at, bodyStart, end: fieldEnd });
    at = fieldEnd;
  }
  return fields;
}

async function readName(file: FileHandle, field: Field): Promise<string> {
  const name = (await readFields(file, field.bodyStart, field.end)).find(
    ({ number }) => number === VALUE_INFO.name,
  );
  if (name === undefined) return "";
  const bytes = new Uint8Array(name.end - name.bodyStart);
  await file.read(bytes, 0, bytes.length, name.bodyStart);
  return new TextDecoder().decode(bytes);
}

async function copy(source: FileHandle, target: FileHandle, start: number, end: number): Promise<void> {
  const buffer = new Uint8Array(Math.min(COPY_BYTES, end - start));
  for (let at = start; at < end; ) {
    const { bytesRead } = await source.read(buffer, 0, Math.min(buffer.length, end - at), at);
    if (bytesRead === 0) throw new Error("The model's file is shorter than it says.");
    await target.appendFile(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}
