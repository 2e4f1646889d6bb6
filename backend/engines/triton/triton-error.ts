/** Everything that a Triton server can do to the engine, with what to do about it. */

export type TritonFailure =
  /** No connection, or it broke. */
  | "unreachable"
  /** The server is there; the model, or this revision of it, is not. */
  | "not-loaded"
  /** The model's ports are not those of the bundle. */
  | "mismatch"
  /** The server's queue is full, or a request waited in it for too long. */
  | "overloaded"
  /** No answer before the deadline. */
  | "timeout"
  /** The server says that the request is wrong. */
  | "refused"
  /** The model failed on the server. */
  | "failed"
  /** What came is not an answer to what was asked. */
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
