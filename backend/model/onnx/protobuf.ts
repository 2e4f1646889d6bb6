/**
 * Encodes the structure of an ONNX model as protobuf, without the weights, which onnx-writer.ts adds. The same
 * graph gives the same bytes. Field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */

import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  type Attribute,
  byteLength,
  ELEMENT_TYPES,
  type Graph,
  type Initializer,
  type Node,
  type Port,
} from "./graph.ts";

/** The first IR version that knows opset 21. */
const IR_VERSION = 10;
const PRODUCER = "alt-text-edge";
const OPSETS = { "": 21, "com.microsoft": 1 } as const;

export const MODEL = { irVersion: 1, producerName: 2, graph: 7, opsetImport: 8 } as const;
const OPERATOR_SET = { domain: 1, version: 2 } as const;
export const GRAPH = { node: 1, name: 2, initializer: 5, input: 11, output: 12 } as const;
const NODE = { input: 1, output: 2, name: 3, opType: 4, attribute: 5, domain: 7 } as const;
const ATTRIBUTE = { name: 1, f: 2, i: 3, s: 4, g: 6, ints: 8, type: 20 } as const;
/** AttributeProto.AttributeType */
const ATTRIBUTE_TYPES = { float: 1, int: 2, string: 3, graph: 5, ints: 7 } as const;
export const VALUE_INFO = { name: 1, type: 2 } as const;
const TYPE = { tensorType: 1 } as const;
const TENSOR_TYPE = { elementType: 1, shape: 2 } as const;
const SHAPE = { dimension: 1 } as const;
const DIMENSION = { value: 1, parameter: 2 } as const;
const TENSOR = { dims: 1, dataType: 2, name: 8, rawData: 9, externalData: 13, dataLocation: 14 } as const;
const ENTRY = { key: 1, value: 2 } as const;
/** TensorProto.DataLocation */
const EXTERNAL = 1;

/** Encodes a ModelProto without its graph. */
export function encodeModelHead(): Uint8Array {
  const writer = new BinaryWriter();
  writeInt(writer, MODEL.irVersion, IR_VERSION);
  writeText(writer, MODEL.producerName, PRODUCER);
  for (const [domain, version] of Object.entries(OPSETS)) {
    writeMessage(writer, MODEL.opsetImport, () => {
      writeText(writer, OPERATOR_SET.domain, domain);
      writeInt(writer, OPERATOR_SET.version, version);
    });
  }
  return writer.finish();
}

/** Encodes a GraphProto without its initializers. */
export function encodeGraph(graph: Graph): Uint8Array {
  const writer = new BinaryWriter();
  writeGraph(writer, graph);
  return writer.finish();
}

/** Encodes a TensorProto up to and including the length of its raw data, or its place in the external `file`. */
export function encodeTensorHead(tensor: Initializer, offset: number | undefined, file: string): Uint8Array {
  const writer = new BinaryWriter();
  for (const size of tensor.shape) writeInt(writer, TENSOR.dims, size);
  writeInt(writer, TENSOR.dataType, ELEMENT_TYPES[tensor.type]);
  writeText(writer, TENSOR.name, tensor.name);
  if (offset === undefined) {
    writer.tag(TENSOR.rawData, WireType.LengthDelimited).uint32(byteLength(tensor));
    return writer.finish();
  }
  const place = { location: file, offset: String(offset), length: String(byteLength(tensor)) };
  for (const [key, value] of Object.entries(place)) {
    writeMessage(writer, TENSOR.externalData, () => {
      writeText(writer, ENTRY.key, key);
      writeText(writer, ENTRY.value, value);
    });
  }
  writeInt(writer, TENSOR.dataLocation, EXTERNAL);
  return writer.finish();
}

/** Encodes the tag and length in front of a field's content of `length` bytes. */
export function encodeFieldHead(field: number, length: number): Uint8Array {
  return new BinaryWriter().tag(field, WireType.LengthDelimited).uint32(length).finish();
}

function writeGraph(writer: BinaryWriter, graph: Graph): void {
  for (const node of graph.nodes) writeMessage(writer, GRAPH.node, () => writeNode(writer, node));
  writeText(writer, GRAPH.name, graph.name);
  for (const port of graph.inputs) writeMessage(writer, GRAPH.input, () => writePort(writer, port));
  for (const port of graph.outputs) writeMessage(writer, GRAPH.output, () => writePort(writer, port));
}

function writeNode(writer: BinaryWriter, { type, domain, inputs, outputs, attributes }: Node): void {
  for (const name of inputs) writeText(writer, NODE.input, name);
  for (const name of outputs) writeText(writer, NODE.output, name);
  writeText(writer, NODE.name, outputs[0] ?? type);
  writeText(writer, NODE.opType, type);
  for (const [name, attribute] of Object.entries(attributes)) {
    writeMessage(writer, NODE.attribute, () => {
      writeText(writer, ATTRIBUTE.name, name);
      writeAttributeValue(writer, attribute);
      writeInt(writer, ATTRIBUTE.type, ATTRIBUTE_TYPES[attribute.kind]);
    });
  }
  if (domain !== "") writeText(writer, NODE.domain, domain);
}

function writeAttributeValue(writer: BinaryWriter, attribute: Attribute): void {
  switch (attribute.kind) {
    case "float":
      writer.tag(ATTRIBUTE.f, WireType.Bit32).float(attribute.value);
      break;
    case "int":
      writeInt(writer, ATTRIBUTE.i, attribute.value);
      break;
    case "string":
      writeText(writer, ATTRIBUTE.s, attribute.value);
      break;
    case "graph":
      writeMessage(writer, ATTRIBUTE.g, () => writeGraph(writer, attribute.value));
      break;
    case "ints":
      for (const value of attribute.value) writeInt(writer, ATTRIBUTE.ints, value);
      break;
  }
}

function writePort(writer: BinaryWriter, { name, type, shape }: Port): void {
  writeText(writer, VALUE_INFO.name, name);
  writeMessage(writer, VALUE_INFO.type, () => {
    writeMessage(writer, TYPE.tensorType, () => {
      writeInt(writer, TENSOR_TYPE.elementType, ELEMENT_TYPES[type]);
      writeMessage(writer, TENSOR_TYPE.shape, () => {
        for (const size of shape) writeMessage(writer, SHAPE.dimension, () => writeDimension(writer, size));
      });
    });
  });
}

function writeDimension(writer: BinaryWriter, size: number | string): void {
  if (typeof size === "number") writeInt(writer, DIMENSION.value, size);
  else writeText(writer, DIMENSION.parameter, size);
}

function writeMessage(writer: BinaryWriter, field: number, content: () => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  content();
  writer.join();
}

function writeText(writer: BinaryWriter, field: number, text: string): void {
  writer.tag(field, WireType.LengthDelimited).string(text);
}

function writeInt(writer: BinaryWriter, field: number, value: number): void {
  writer.tag(field, WireType.Varint).int64(value);
}
