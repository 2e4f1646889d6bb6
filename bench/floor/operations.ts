/** What a caption costs in theory: multiply-adds and bytes of weights, counted from the model's configuration. */

import type { BlipConfig, StemConfig, TextConfig } from "../../backend/model/blip/config.ts";

export interface CaptionCost {
  /** Operations of everything that happens once per picture; a multiply-add counts as two. */
  readonly encoderOperations: number;
  /** Operations of one decoding step for one row. */
  readonly stepOperations: number;
  /** Number of weights that one decoding step reads, whatever the batch. */
  readonly stepWeights: number;
}

/** @param imageSize edge of the pictures in pixels */
export function captionCost(
  { vision_config: vision, text_config: text }: BlipConfig,
  imageSize: number,
): CaptionCost {
  const tokens = (imageSize / vision.patch_size) ** 2 + 1;
  const { hidden_size: width, intermediate_size: inner } = vision;
  const layer = tokens * (4 * width * width + 2 * width * inner) + 2 * tokens * tokens * width;
  const patchValues = vision.stem?.head_channels ?? 3 * vision.patch_size ** 2;
  const patches = (tokens - 1) * width * patchValues;
  const stem = vision.stem ? stemMultiplyAdds(vision.stem, imageSize) : 0;
  const crossKeyValues = text.num_hidden_layers * tokens * 2 * width * text.hidden_size;
  const stepWeights = decoderStepWeights(text);
  // Attention to the few tokens of the text is left out; every step reads those of the picture.
  const crossAttention = text.num_hidden_layers * 2 * tokens * text.hidden_size;
  return {
    encoderOperations: 2 * (vision.num_hidden_layers * layer + stem + patches + crossKeyValues),
    stepOperations: 2 * (stepWeights + crossAttention),
    stepWeights,
  };
}

function stemMultiplyAdds(stem: StemConfig, imageSize: number): number {
  let side = imageSize / 2;
  let channels = stem.channels;
  let total = side ** 2 * channels * 3 * 3 ** 2;
  for (const { kernel_size: kernel, stride, expand_ratio: ratio, channels: output, repeats } of stem.stages) {
    for (let repeat = 0; repeat < repeats; repeat++) {
      const inner = channels * ratio;
      const before = side ** 2;
      if (repeat === 0) side /= stride;
      const expand = ratio > 1 ? before * channels * inner : 0;
      total += expand + side ** 2 * inner * (kernel ** 2 + output);
      channels = output;
    }
  }
  return total + side ** 2 * channels * stem.head_channels;
}

/**
 * Weights of one decoding step, without those for cross-attention keys and values, which are projected once per
 * picture.
 */
function decoderStepWeights({ hidden_size: width, intermediate_size: inner, ...text }: TextConfig): number {
  const layer = 4 * width * width + 2 * width * width + 2 * width * inner;
  return text.num_hidden_layers * layer + width * width + text.vocab_size * width;
}
