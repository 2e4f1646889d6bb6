/** Every way in which a Triton server can fail the engine. */

export type TritonFailure =
  /** There is no connection, or it broke. */
  | "unreachable"
  /** The server is there, but not the model or this revision of it. */
  | "not-loaded"
  /** The model's ports are not the bundle's. */
  | "mismatch"
  /** The server's queue is full, or a request waited in it too long. */
  | "overloaded"
  /** No answer came before the deadline. */
  | "timeout"
  /** The server says that the request is wrong. */
  | "refused"
  /** The model failed on the server. */
  | "failed"
  /** The answer does not fit what was asked. */
  | "bad-answer";

/** A call to a Triton server failed. The message names the endpoint. */
export class TritonError extends Error {
  override readonly name = "TritonError";
  readonly failure: TritonFailure;
  readonly endpoint: string;

  constructor(failure: TritonFailure, endpoint: string, message: string, options?: ErrorOptions) {
    super(`Triton at ${endpoint}: ${message}`, options);
    this.failure = failure;
    this.endpoint = endpoint;
  }
}
