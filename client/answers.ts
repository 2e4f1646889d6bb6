/** Reads the API's answers, and tells its refusals from answers of something else, such as a proxy. */

import * as z from "zod/mini";
import { Problem } from "../shared/problem.ts";
import { retryAfterMs } from "../shared/retry-after.ts";
import { CaptionApiError, CaptionTransportError } from "./errors.ts";

/** A problem of an API that may be newer than this client and may know more codes. */
export const AnyProblem = z.extend(Problem, { code: z.string() });

interface Call {
  readonly signal?: AbortSignal | undefined;
}

/** Reads an answer of the API. @throws {CaptionTransportError} if it breaks off or does not come from the API */
export async function answerOf<Schema extends z.core.$ZodType>(
  response: Response,
  schema: Schema,
  { signal }: Call,
): Promise<z.infer<Schema>> {
  const text = await response.text().catch((cause: unknown) => {
    if (signal?.aborted) throw signal.reason;
    throw new CaptionTransportError("The caption API's answer broke off.", {
      status: response.status,
      cause,
    });
  });
  return parseAnswer(schema, text, response);
}

/** Parses an answer of the API. @throws {CaptionTransportError} if it does not come from the API */
export function parseAnswer<Schema extends z.core.$ZodType>(
  schema: Schema,
  text: string,
  { status }: Response,
): z.infer<Schema> {
  try {
    return z.parse(schema, JSON.parse(text));
  } catch (cause) {
    throw new CaptionTransportError("The answer did not come from the caption API.", { status, cause });
  }
}

/** The API's refusal, or, if a proxy or something else answered, an error with that answer's status. Throws the signal's reason. */
export async function refusalOf(
  response: Response,
  { signal }: Call,
): Promise<CaptionApiError | CaptionTransportError> {
  const problem = AnyProblem.safeParse(await response.json().catch(() => undefined));
  signal?.throwIfAborted();
  const waitMs = retryAfterMs(response.headers.get("retry-after"), Date.now());
  if (problem.success) {
    return new CaptionApiError(problem.data, response.headers.get("x-request-id") ?? undefined, waitMs);
  }
  return new CaptionTransportError(
    `Something that is not the caption API answered with status ${response.status}.`,
    { status: response.status, ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }) },
  );
}
