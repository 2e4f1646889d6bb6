/** How a call can fail. */

import type { Problem } from "../shared/problem.ts";

/** The API refused: `problem.code` says why, and is stable. */
export class CaptionApiError extends Error {
  override readonly name = "CaptionApiError";
  readonly problem: Problem;
  readonly requestId: string | undefined;

  constructor(problem: Problem, requestId: string | undefined) {
    super(`${problem.title}: ${problem.detail}`);
    this.problem = problem;
    this.requestId = requestId;
  }
}

/** Something answered that is not this API, or nothing did. */
export class CaptionTransportError extends Error {
  override readonly name = "CaptionTransportError";
}
