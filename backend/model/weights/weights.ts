/** Named tensors, read one at a time. The interface that safetensors files, adapters and graphs meet at. */

export interface TensorInfo {
  /** Row-major, outermost first, as PyTorch prints it. */
  readonly shape: readonly number[];
}

/** A set of named float tensors. Nothing is held: every `read` fetches the tensor again. */
export interface WeightSource {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The tensor's values as float32, row-major. @throws WeightError when there is no such tensor */
  read(name: string): Promise<Float32Array>;
}

/** Weights that are missing, damaged or do not fit; the message names the tensor or file and what to do. */
export class WeightError extends Error {
  override readonly name = "WeightError";
}

/** Number of values in a tensor of this shape. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** The tensor's description. @throws WeightError when it is missing */
export function tensorInfo(source: WeightSource, name: string): TensorInfo {
  const info = source.tensors.get(name);
  if (!info) {
    throw new WeightError(
      `The weights have no tensor '${name}'. Are they those of a BlipForConditionalGeneration?`,
    );
  }
  return info;
}
