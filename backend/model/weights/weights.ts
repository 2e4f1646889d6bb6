/** Named tensors, read one at a time: the interface between safetensors files, adapters and graphs. */

export interface TensorInfo {
  /** Row-major, outermost first, as PyTorch prints it. */
  readonly shape: readonly number[];
}

/** A set of named float tensors. Nothing is kept in memory: every `read` fetches the tensor again. */
export interface WeightSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The tensor's values as float32, row-major. @throws WeightError if there is no such tensor */
  read(name: string): Promise<Float32Array>;
}

/** Weights are missing, damaged or do not fit; the message names the tensor or file and says what to do. */
export class WeightError extends Error {
  override readonly name = "WeightError";
}

/** Number of values in a tensor of this shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The tensor's description. @throws WeightError if it is missing */
export function tensorInfo(source: WeightSource, name: string): TensorInfo {
  const info = source.tensors.get(name);
  if (!info) {
    throw new WeightError(
      `The weights have no tensor '${name}'. Are they those of a BlipForConditionalGeneration?`,
    );
  }
  return info;
}

/**
 * `source`, but reading fails unless all values are numbers. A training that diverged leaves others, and then
 * the model says nothing.
 */
export function finiteWeights(source: WeightSource): WeightSource {
  return {
    tensors: source.tensors,
    async read(name) {
      const values = await source.read(name);
      if (areFinite(values)) return values;
      throw new WeightError(
        `Tensor '${name}' has values that are NaN or infinite: every caption would be empty. The training diverged, or ` +
          "what it learnt does not fit the precision that it was saved in. Take an earlier checkpoint, or save it in float32.",
      );
    },
  };
}

/** Whether none of `values` is NaN or infinite. A loop, because there may be hundreds of millions. */
export function areFinite(values: ArrayLike<number>): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}
