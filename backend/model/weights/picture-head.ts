/**
 * A picture head is a linear layer on the mean of the encoder's output. Before a word is generated, it predicts how
 * well the model can describe the picture. Its file lies beside the base's weights, but most bases have none.
 * `training/picture_head.py` makes one.
 */

import { join } from "node:path";
import { fileExists } from "../../bundle/file-exists.ts";
import { openSafetensors } from "./safetensors.ts";
import { tensorInfo, WeightError, type WeightSource } from "./weights.ts";

/** The file's name without its extension. */
export const PICTURE_HEAD = "picture_head";
/** [1, hidden] and [1] */
export const PICTURE_HEAD_TENSORS = {
  weight: `${PICTURE_HEAD}.weight`,
  bias: `${PICTURE_HEAD}.bias`,
} as const;

export function hasPictureHead(folder: string): Promise<boolean> {
  return fileExists(join(folder, `${PICTURE_HEAD}.safetensors`));
}

/** `weights` with the head in `folder`, if there is one. @throws WeightError if it does not fit this model */
export async function withPictureHead(
  weights: WeightSource,
  { folder, hidden }: { readonly folder: string; readonly hidden: number },
): Promise<WeightSource> {
  if (!(await hasPictureHead(folder))) return weights;
  const path = join(folder, `${PICTURE_HEAD}.safetensors`);
  const head = await openSafetensors(path);
  for (const [name, expected] of [
    [PICTURE_HEAD_TENSORS.weight, [1, hidden]],
    [PICTURE_HEAD_TENSORS.bias, [1]],
  ] as const) {
    const { shape } = tensorInfo(head, name);
    if (String(shape) !== String(expected)) {
      throw new WeightError(`Tensor '${name}' in ${path} is [${shape}], expected [${expected}].`);
    }
  }
  return {
    tensors: new Map([...weights.tensors, ...head.tensors]),
    read: (name) => (head.tensors.has(name) ? head.read(name) : weights.read(name)),
  };
}
