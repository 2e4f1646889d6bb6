/**
 * Writes an ONNX model as protobuf, streaming: the structure is encoded in memory, the weights pass through one at a
 * time. The same graph gives the same bytes. Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */

import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { basename } from "node:path";
import { elementCount } from "../weights/weights.ts";

/** TensorProto.DataType */
export const ELEMENT_TYPES = {
  float: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
} as const;
export type ElementType = keyof typeof ELEMENT_TYPES;

export const BYTES_PER_ELEMENT: Record<ElementType, number> = {
  float: 4,
  uint8: 1,
  int8: 1,
  int32: 4,
  int64: 8,
  bool: 1,
  float16: 2,
};

/** A constant of the graph; its bytes are asked for once, when they are written. */
export interface Initializer {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly number[];
  /** Little-endian, row-major. */
  readonly read: () => Promise<Uint8Array>;
}

export type Attribute =
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "ints"; readonly value: readonly number[] }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "graph"; readonly value: Graph };

export interface Node {
  readonly type: string;
  /** "" is ONNX's own operator set. */
  readonly domain: string;
  /** "" leaves an optional input out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: Readonly<Record<string, Attribute>>;
}

/** A graph's input or output; a text dimension is symbolic. */
export interface Port {
  readonly name: string;
  readonly type: ElementType;
  readonly shape: readonly (number | string)[];
}

export interface Graph {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly initializers: readonly Initializer[];
}

/** First version whose IR knows opset 21. */
const IR_VERSION = 10;
const OPSETS = { "": 21, "com.microsoft": 1 } as const;

/** Above this the weights go to a file of their own: protobuf ends at 2 GiB, and readers hold the whole message. */
const EXTERNAL_DATA_FROM_BYTES = 1_000_000_000;
/** Small constants stay inside, where shape inference can see them. */
const EXTERNAL_TENSOR_FROM_BYTES = 1024;
const EXTERNAL_ALIGNMENT_BYTES = 4096;

/** Called as weights are written, with bytes so far and in all. */
export type WriteProgress = (doneBytes: number, totalBytes: number) => void;

/**
 * Writes `graph` to `path`, its weights to `path + ".data"` when they are over 1 GB.
 * @returns SHA-256 over all bytes written, hexadecimal
 */
export async function writeModel(
  graph: Graph,
  path: string,
  onProgress: WriteProgress = () => {},
): Promise<string> {
  const totalBytes = graph.initializers.reduce((sum, tensor) => sum + byteLength(tensor), 0);
  const hash = createHash("sha256");
  let done = 0;
  const advance = (tensor: Initializer) => {
    done += byteLength(tensor);
    onProgress(done, totalBytes);
  };

  const dataPath = `${path}.data`;
  const offsets = new Map<string, number>();
  await rm(dataPath, { force: true });
  if (totalBytes > EXTERNAL_DATA_FROM_BYTES) {
    await withSink(dataPath, hash, async (sink) => {
      for (const tensor of graph.initializers) {
        if (byteLength(tensor) < EXTERNAL_TENSOR_FROM_BYTES) continue;
        await sink.align(EXTERNAL_ALIGNMENT_BYTES);
        offsets.set(tensor.name, sink.position);
        await sink.write(await bytesOf(tensor));
        advance(tensor);
      }
    });
  }

  await withSink(path, hash, async (sink) => {
    const structure = encodeGraph(graph);
    const tensors = graph.initializers.map((tensor) => ({
      tensor,
      head: encodeTensorHead(tensor, offsets.get(tensor.name), basename(dataPath)),
      inline: offsets.has(tensor.name) ? 0 : byteLength(tensor),
    }));
    const graphBytes = tensors.reduce(
      (sum, { head, inline }) => sum + 1 + varint(head.length + inline).length + head.length + inline,
      structure.length,
    );
    await sink.write(encodeModelHead());
    await sink.write(Uint8Array.from([...tag(7, LENGTH_DELIMITED), ...varint(graphBytes)]));
    await sink.write(structure);
    for (const { tensor, head, inline } of tensors) {
      await sink.write(Uint8Array.from([...tag(5, LENGTH_DELIMITED), ...varint(head.length + inline)]));
      await sink.write(head);
      if (inline === 0) continue;
      await sink.write(await bytesOf(tensor));
      advance(tensor);
    }
  });
  return hash.digest("hex");
}

function byteLength({ type, shape }: Initializer): number {
  return elementCount(shape) * BYTES_PER_ELEMENT[type];
}

async function bytesOf(tensor: Initializer): Promise<Uint8Array> {
  const bytes = await tensor.read();
  if (bytes.length !== byteLength(tensor)) {
    throw new Error(
      `This is a bug: tensor '${tensor.name}' gave ${bytes.length} bytes for ${tensor.type} [${tensor.shape}].`,
    );
  }
  return bytes;
}

interface Sink {
  readonly position: number;
  write(bytes: Uint8Array): Promise<void>;
  align(bytes: number): Promise<void>;
}

async function withSink(path: string, hash: Hash, body: (sink: Sink) => Promise<void>): Promise<void> {
  const file: FileHandle = await open(path, "w");
  let position = 0;
  const sink: Sink = {
    get position() {
      return position;
    },
    async write(bytes) {
      hash.update(bytes);
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await file.write(bytes, done, bytes.length - done);
        done += bytesWritten;
      }
      position += bytes.length;
    },
    async align(alignment) {
      const padding = (alignment - (position % alignment)) % alignment;
      if (padding > 0) await this.write(new Uint8Array(padding));
    },
  };
  try {
    await body(sink);
  } finally {
    await file.close();
  }
}

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** AttributeProto.AttributeType */
const ATTRIBUTE_TYPES = { float: 1, int: 2, string: 3, graph: 5, ints: 7 } as const;

/** Everything of a ModelProto but its graph. */
function encodeModelHead(): Uint8Array {
  return concat([
    intField(1, IR_VERSION),
    textField(2, "alt-text-edge"),
    ...Object.entries(OPSETS).map(([domain, version]) =>
      messageField(8, [textField(1, domain), intField(2, version)]),
    ),
  ]);
}

/** GraphProto without its initializers. */
export function encodeGraph(graph: Graph): Uint8Array {
  return concat([
    ...graph.nodes.map((node) => messageField(1, encodeNode(node))),
    textField(2, graph.name),
    ...graph.inputs.map((port) => messageField(11, encodePort(port))),
    ...graph.outputs.map((port) => messageField(12, encodePort(port))),
  ]);
}

function encodeNode({ type, domain, inputs, outputs, attributes }: Node): Uint8Array[] {
  return [
    ...inputs.map((name) => textField(1, name)),
    ...outputs.map((name) => textField(2, name)),
    textField(3, outputs[0] ?? type),
    textField(4, type),
    ...Object.entries(attributes).map(([name, attribute]) =>
      messageField(5, [
        textField(1, name),
        encodeAttribute(attribute),
        intField(20, ATTRIBUTE_TYPES[attribute.kind]),
      ]),
    ),
    ...(domain === "" ? [] : [textField(7, domain)]),
  ];
}

function encodeAttribute(attribute: Attribute): Uint8Array {
  switch (attribute.kind) {
    case "float": {
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setFloat32(0, attribute.value, true);
      return concat([Uint8Array.from(tag(2, FIXED32)), bytes]);
    }
    case "int":
      return intField(3, attribute.value);
    case "string":
      return textField(4, attribute.value);
    case "graph":
      return messageField(6, [encodeGraph(attribute.value)]);
    case "ints":
      return concat(attribute.value.map((value) => intField(8, value)));
  }
}

function encodePort({ name, type, shape }: Port): Uint8Array[] {
  const dimensions = shape.map((size) =>
    messageField(1, [typeof size === "number" ? intField(1, size) : textField(2, size)]),
  );
  const tensorType = messageField(1, [intField(1, ELEMENT_TYPES[type]), messageField(2, dimensions)]);
  return [textField(1, name), messageField(2, [tensorType])];
}

/** TensorProto up to and including the length of its raw data, or its place in the external file. */
function encodeTensorHead(tensor: Initializer, offset: number | undefined, file: string): Uint8Array {
  const entry = (key: string, value: string) => messageField(13, [textField(1, key), textField(2, value)]);
  const data =
    offset === undefined
      ? [Uint8Array.from([...tag(9, LENGTH_DELIMITED), ...varint(byteLength(tensor))])]
      : [
          entry("location", file),
          entry("offset", String(offset)),
          entry("length", String(byteLength(tensor))),
          intField(14, 1),
        ];
  return concat([
    ...tensor.shape.map((size) => intField(1, size)),
    intField(2, ELEMENT_TYPES[tensor.type]),
    textField(8, tensor.name),
    ...data,
  ]);
}

function messageField(field: number, parts: readonly Uint8Array[]): Uint8Array {
  const body = concat(parts);
  return concat([Uint8Array.from([...tag(field, LENGTH_DELIMITED), ...varint(body.length)]), body]);
}

function textField(field: number, text: string): Uint8Array {
  return messageField(field, [new TextEncoder().encode(text)]);
}

function intField(field: number, value: number): Uint8Array {
  return Uint8Array.from([...tag(field, VARINT), ...varint(value)]);
}

export function tag(field: number, wireType: number): number[] {
  return varint((field << 3) | wireType);
}

/** Base-128, least significant group first; negative numbers as 64-bit two's complement, as int64 wants them. */
export function varint(value: number): number[] {
  let rest = BigInt.asUintN(64, BigInt(value));
  const groups: number[] = [];
  do {
    const group = Number(rest & 0x7fn);
    rest >>= 7n;
    groups.push(rest > 0n ? group | 0x80 : group);
  } while (rest > 0n);
  return groups;
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
