/**
 * What a Triton model repository and the engine that calls it must agree on: names, versions and ports of the two models
 * that serve one graph. Types and names only: no files, no gRPC.
 */

import { PORTS } from "./ports.ts";

/** A tensor in KServe's terms; -1 is any size. */
export interface ServedPort {
  readonly name: string;
  readonly datatype: "UINT8" | "INT64" | "FP32";
  readonly shape: readonly number[];
}

export interface ServedModel {
  readonly name: string;
  readonly inputs: readonly ServedPort[];
  readonly outputs: readonly ServedPort[];
}

export interface ServedModels {
  /** For greedy decoding without a prompt: Triton puts the rows of several requests into one forward pass. */
  readonly batched: ServedModel;
  /** For any options: every request is a forward pass of its own. */
  readonly unbatched: ServedModel;
}

/** The properties of a bundle that decide which ports its models have. */
export interface PortShapes {
  readonly image: { readonly size: number };
  readonly picture_head: boolean;
}

/** Default name of the batched model. */
export const TRITON_MODEL = "caption";

/** Most rows in one forward pass of the batched model; larger requests go to the unbatched one. */
export const MAX_BATCHED_ROWS = 32;

/** int64 [batch, 1]: the batched model's form of `max_new_tokens`, one value per row. The largest is generated. */
export const ROW_MAX_NEW_TOKENS = "row_max_new_tokens";

/** @param name of the batched model; the unbatched one's name begins with it */
export function servedModels(name: string, { image, picture_head }: PortShapes): ServedModels {
  const pixels: ServedPort = {
    name: PORTS.pixels,
    datatype: "UINT8",
    shape: [-1, 3, image.size, image.size],
  };
  const outputs: ServedPort[] = [
    { name: PORTS.tokenIds, datatype: "INT64", shape: [-1, -1] },
    { name: PORTS.logProbabilities, datatype: "FP32", shape: [-1, -1] },
    ...(picture_head ? [{ name: PORTS.pictureScores, datatype: "FP32", shape: [-1, 1] } as const] : []),
  ];
  return {
    batched: {
      name,
      inputs: [pixels, { name: ROW_MAX_NEW_TOKENS, datatype: "INT64", shape: [-1, 1] }],
      outputs,
    },
    unbatched: {
      name: `${name}_unbatched`,
      inputs: [
        pixels,
        { name: PORTS.maxNewTokens, datatype: "INT64", shape: [1] },
        { name: PORTS.numBeams, datatype: "INT64", shape: [1] },
        { name: PORTS.promptIds, datatype: "INT64", shape: [-1] },
      ],
      outputs,
    },
  };
}

/**
 * The revision as Triton's version number. Every call names it and every answer repeats it, so a server that holds
 * another revision cannot answer by mistake. Versions are positive int64, which the first 15 hexadecimal digits
 * fit.
 */
export function modelVersion(revision: string): string {
  return BigInt(`0x${revision.slice(0, 15)}`).toString();
}
