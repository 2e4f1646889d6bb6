/** An ONNX graph as plain data. https://github.com/onnx/onnx/blob/main/onnx/onnx.proto */

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

/** A constant of the graph. Its bytes are requested once, when it is written. */
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

/** A graph's input or output; a dimension given as text is symbolic. */
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

/** Size of a constant in bytes. */
export function byteLength({ type, shape }: Initializer): number {
  return elementCount(shape) * BYTES_PER_ELEMENT[type];
}
