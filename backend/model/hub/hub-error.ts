/** A download cannot go on; the message says what to do. */

export class HubError extends Error {
  override readonly name = "HubError";
  /** Whether the same request may succeed later. */
  readonly retryable: boolean;
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options: ErrorOptions & { retryable?: boolean; retryAfterMs?: number } = {}) {
    super(message, options);
    this.retryable = options.retryable ?? false;
    this.retryAfterMs = options.retryAfterMs;
  }
}
