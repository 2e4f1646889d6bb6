/** The public answer made from what a model said. */

import { toAltText } from "./alt-text.ts";
import { judgeCaption, type ReviewRule } from "./review.ts";
import type { Caption, GeneratedCaption } from "./schema.ts";

/** The caption of the picture with this hash: shaped as alt text, and judged by its model's rule. */
export function toCaption(parts: {
  readonly sha256: string;
  readonly generated: GeneratedCaption;
  readonly cached: boolean;
  readonly maxLength: number | undefined;
  /** The rule of the model that said it. If the model has none, every caption is for review. */
  readonly review: ReviewRule | undefined;
}): Caption {
  const { sha256, generated, cached, maxLength, review } = parts;
  const { caption, model } = generated;
  const { alt } = toAltText(caption, maxLength);
  return { sha256, caption, alt, ...judgeCaption(generated, review), model, cached };
}
