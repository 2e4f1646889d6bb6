/**
 * Builds an ONNX graph node by node. A value is the name of a tensor in the graph. Constants and weights always go
 * to the root graph, even from inside a loop body. In a body they would be copied, and a model with external data
 * would be refused.
 */

import type { Dtype } from "../../bundle/bundle.ts";
import { areFinite, tensorInfo, WeightError, type WeightSource } from "../weights/weights.ts";
import {
  type Attribute,
  ELEMENT_TYPES,
  type ElementType,
  type Graph,
  type Initializer,
  type Node,
  type Port,
} from "./graph.ts";

export type Value = string;

/** An array of `Count` values. */
export type Values<Count extends number, Taken extends Value[] = []> = number extends Count
  ? Value[]
  : Taken["length"] extends Count
    ? Taken
    : Values<Count, [...Taken, Value]>;

/** The precision that the graph computes in. */
export type FloatType = "float" | "float16";

type AttributeInput = Attribute | number | string | readonly number[];

/** A float attribute; a plain number means an int. */
export const float = (value: number): Attribute => ({ kind: "float", value });

/** A matrix of the weights, or several stacked along their first axis. It is read when the graph is written. */
export interface Matrix {
  readonly name: string;
  /** [out, in] */
  readonly shape: readonly [number, number];
  readonly read: () => Promise<Float32Array>;
}

interface Shared {
  readonly weights: WeightSource;
  readonly dtype: Dtype;
  readonly initializers: Map<string, Initializer>;
  counter: number;
}

export class GraphBuilder {
  readonly #name: string;
  readonly #shared: Shared;
  readonly #nodes: Node[] = [];
  readonly #inputs: Port[] = [];
  readonly #outputs: Port[] = [];
  readonly #once = new Map<string, Value>();

  private constructor(name: string, shared: Shared) {
    this.#name = name;
    this.#shared = shared;
  }

  /** A new root graph over `weights`. */
  static root(name: string, weights: WeightSource, dtype: Dtype): GraphBuilder {
    return new GraphBuilder(name, { weights, dtype, initializers: new Map(), counter: 0 });
  }

  /** A body for Loop or If, which can use every value of this graph by name. */
  subgraph(name: string): GraphBuilder {
    return new GraphBuilder(name, this.#shared);
  }

  get dtype(): Dtype {
    return this.#shared.dtype;
  }

  /** Type of the activations. int8 applies to weights, and to activations only inside a matrix product. */
  get floatType(): FloatType {
    return this.#shared.dtype === "fp16" ? "float16" : "float";
  }

  /**
   * Whether the graph is for a GPU, as fp16 graphs are. A GPU spends its time on passes over memory and on starting
   * operators, and ONNX Runtime's kernels have other strengths there than on a CPU. Measured:
   * docs/measurements/gpu.md.
   */
  get forGpu(): boolean {
    return this.#shared.dtype === "fp16";
  }

  input(name: string, type: ElementType, shape: readonly (number | string)[]): Value {
    this.#inputs.push({ name, type, shape });
    return name;
  }

  /** Makes `value` an output. An Identity gives it this name if it must keep its own. */
  output(value: Value, name: string, type: ElementType, shape: readonly (number | string)[]): void {
    this.#nodes.push({ type: "Identity", domain: "", inputs: [value], outputs: [name], attributes: {} });
    this.#outputs.push({ name, type, shape });
  }

  /** Adds a node with one output. `domain:Type` names an operator outside ONNX's own set. */
  op(
    type: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, AttributeInput>> = {},
  ): Value {
    return this.ops(type, 1, inputs, attributes)[0];
  }

  /** Adds a node with `count` outputs. */
  ops<Count extends number>(
    type: string,
    count: Count,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, AttributeInput>> = {},
  ): Values<Count> {
    const [operator, domain = ""] = type.split(":").reverse() as [string, string?];
    const outputs = Array.from({ length: count }, () => `${operator}_${this.#shared.counter++}`);
    this.#nodes.push({
      type: operator,
      domain,
      inputs,
      outputs,
      attributes: Object.fromEntries(
        Object.entries(attributes).map(([name, value]) => [name, toAttribute(value)]),
      ),
    });
    return outputs as Values<Count>;
  }

  /** A value that this graph computes only once, however often it is asked for. */
  once(name: string, make: () => Value): Value {
    const made = this.#once.get(name) ?? make();
    this.#once.set(name, made);
    return made;
  }

  /** `x` converted to another element type; converted to bool, everything but 0 is true. */
  cast(x: Value, type: ElementType): Value {
    return this.op("Cast", [x], { to: ELEMENT_TYPES[type] });
  }

  /**
   * Repeats `body` at most `steps` times, int64 scalar, as long as its first output is true. Its inputs are the
   * iteration, whether to go on, and the carried values. Its outputs are whether to go on, the carried values, and
   * the values of each step that are stacked.
   */
  loop(options: {
    readonly steps: Value;
    readonly body: GraphBuilder;
    /** The carried values of the first step. */
    readonly carried: readonly Value[];
    /** How many values of each step are stacked along a new first axis. */
    readonly stacked?: number;
  }): { readonly carried: Value[]; readonly stacked: Value[] } {
    const { steps, body, carried, stacked = 0 } = options;
    const results = this.ops("Loop", carried.length + stacked, [steps, this.bool(true), ...carried], {
      body: { kind: "graph", value: body.build() },
    });
    return { carried: results.slice(0, carried.length), stacked: results.slice(carried.length) };
  }

  /**
   * Runs `body` for each slice of `inputs` along their first axis, one after the other.
   * @returns its outputs, stacked along a new first axis
   */
  scan<Count extends number>(options: {
    readonly body: GraphBuilder;
    readonly inputs: readonly Value[];
    readonly count: Count;
  }): Values<Count> {
    return this.ops("Scan", options.count, options.inputs, {
      body: { kind: "graph", value: options.body.build() },
      num_scan_inputs: options.inputs.length,
    });
  }

  /** Chooses one of two bodies with `count` outputs by a bool scalar; both can use every value of this graph. */
  cond<Count extends number>(options: {
    readonly condition: Value;
    readonly count: Count;
    readonly whenTrue: GraphBuilder;
    readonly whenFalse: GraphBuilder;
  }): Values<Count> {
    return this.ops("If", options.count, [options.condition], {
      then_branch: { kind: "graph", value: options.whenTrue.build() },
      else_branch: { kind: "graph", value: options.whenFalse.build() },
    });
  }

  hasWeight(name: string): boolean {
    return this.#shared.weights.tensors.has(name);
  }

  /** A tensor of the weights, in the graph's precision. */
  weight(name: string): Value {
    const { weights } = this.#shared;
    return this.#float(name, tensorInfo(weights, name).shape, () => weights.read(name));
  }

  /** Matrices of the weights stacked along their first axis. */
  matrix(parts: readonly string[]): Matrix {
    const { weights } = this.#shared;
    const shapes = parts.map((part) => tensorInfo(weights, part).shape);
    const rows = shapes.reduce((sum, shape) => sum + (shape[0] as number), 0);
    return {
      name: parts.join("+"),
      shape: [rows, shapes[0]?.[1] as number],
      read: () => readStacked(weights, parts),
    };
  }

  /** Vectors of the weights, concatenated, in the graph's precision. */
  vector(parts: readonly string[]): Value {
    const { weights } = this.#shared;
    const size = parts.reduce((sum, part) => sum + (tensorInfo(weights, part).shape[0] as number), 0);
    return this.#float(parts.join("+"), [size], () => readStacked(weights, parts));
  }

  /** A constant computed when the graph is written, in the graph's precision. */
  computed(name: string, shape: readonly number[], compute: () => Promise<Float32Array>): Value {
    return this.#float(name, shape, compute);
  }

  /** A float constant. */
  floats(values: readonly number[], shape: readonly number[] = [values.length]): Value {
    return this.#float(`float_${shape.join("x")}_${values.join("_")}`, shape, async () =>
      Float32Array.from(values),
    );
  }

  /** A float32 scalar, whatever the graph's precision: log-probabilities are always float32. */
  scalar(value: number): Value {
    return this.constant({
      name: `scalar_${value}`,
      type: "float",
      shape: [],
      read: async () => new Uint8Array(Float32Array.of(value).buffer),
    });
  }

  /** An int64 constant: a scalar for one number, a vector for an array. */
  ints(value: number | readonly number[]): Value {
    const values = typeof value === "number" ? [value] : value;
    const shape = typeof value === "number" ? [] : [values.length];
    const name = `int_${shape.length}_${values.join("_")}`;
    return this.constant({
      name,
      type: "int64",
      shape,
      read: async () => new Uint8Array(BigInt64Array.from(values, BigInt).buffer),
    });
  }

  bool(value: boolean): Value {
    return this.constant({
      name: `bool_${value}`,
      type: "bool",
      shape: [],
      read: async () => Uint8Array.of(value ? 1 : 0),
    });
  }

  /** The finished graph; the root carries every constant. */
  build(): Graph {
    return {
      name: this.#name,
      nodes: this.#nodes,
      inputs: this.#inputs,
      outputs: this.#outputs,
      initializers: [...this.#shared.initializers.values()],
    };
  }

  #float(name: string, shape: readonly number[], read: () => Promise<Float32Array>): Value {
    const type = this.floatType;
    return this.constant({ name, type, shape, read: async () => toBytes(name, await read(), type) });
  }

  /** A constant of any type. */
  constant(initializer: Initializer): Value {
    if (!this.#shared.initializers.has(initializer.name)) {
      this.#shared.initializers.set(initializer.name, initializer);
    }
    return initializer.name;
  }
}

async function readStacked(weights: WeightSource, parts: readonly string[]): Promise<Float32Array> {
  const arrays = await Promise.all(parts.map((part) => weights.read(part)));
  const whole = new Float32Array(arrays.reduce((sum, array) => sum + array.length, 0));
  let at = 0;
  for (const array of arrays) {
    whole.set(array, at);
    at += array.length;
  }
  return whole;
}

function toAttribute(value: AttributeInput): Attribute {
  if (typeof value === "number") return { kind: "int", value };
  if (typeof value === "string") return { kind: "string", value };
  return "kind" in value ? value : { kind: "ints", value };
}

/** @throws WeightError for a number that is too large for float16 */
function toBytes(name: string, values: Float32Array, type: FloatType): Uint8Array {
  const array = type === "float" ? values : Float16Array.from(values);
  if (type === "float16" && !areFinite(array)) {
    throw new WeightError(
      `Tensor '${name}' has values over 65,504, which fp16 cannot hold. Build with --dtype fp32.`,
    );
  }
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
