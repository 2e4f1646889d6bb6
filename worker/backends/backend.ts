/**
 * One captioner over HTTP: the Hugging Face protocol, spoken by `@huggingface/inference`, and `/v1/model`. Its answers are
 * judged here; nothing of a foreign error body gets past this file.
 */

import * as z from "zod/mini";
import {
  CAPTION_OWNER_HEADER,
  CAPTION_PRIORITY_HEADER,
  CAPTION_SCORE_HEADER,
  CAPTION_SOURCE_HEADER,
  DEADLINE_MS_HEADER,
  decodeModelId,
  MODEL_ID_HEADER,
  MODEL_REVISION_HEADER,
  PICTURE_SCORE_HEADER,
  REQUEST_ID_HEADER,
} from "../../shared/backend-protocol.ts";
import { type Failure, PROBLEMS, Problem } from "../../shared/problem.ts";
import { retryAfterMs } from "../../shared/retry-after.ts";
import {
  BackendModel,
  type GeneratedCaption,
  type GenerationOptions,
  ImageToTextOutput,
  type ModelIdentity,
} from "../../shared/schema.ts";
import type { Picture } from "../picture.ts";
import type { RequestScope } from "../request/scope.ts";
import { timeLimit } from "../request/time-limit.ts";

export interface BackendRequest {
  readonly picture: Picture;
  readonly options: GenerationOptions;
  /** Whom the caption is for, if tenants share nothing. */
  readonly owner: string | undefined;
  readonly timeoutMs: number;
  readonly scope: RequestScope;
}

export type BackendAnswer =
  | {
      readonly kind: "caption";
      readonly generated: GeneratedCaption;
      readonly versioned: boolean;
      /** The model ran for this request; its answer was neither remembered nor shared. */
      readonly fresh: boolean;
    }
  /** The picture or the options are at fault: every captioner would say the same. */
  | { readonly kind: "refused"; readonly failure: Failure }
  /** A hosted endpoint, which ignores options in the query, so its caption would not be the one that was asked for. */
  | { readonly kind: "takes-no-options" }
  /** Alive, but it has no room now. */
  | { readonly kind: "busy"; readonly retryAfterSeconds: number }
  /** It does not let us in, or does not know the route, which is a matter of configuration. */
  | { readonly kind: "misconfigured"; readonly reason: string }
  /** It has the picture, but gave no answer in time. */
  | { readonly kind: "late"; readonly reason: string }
  | { readonly kind: "broken"; readonly reason: string };

export interface Backend {
  readonly url: string;
  caption(request: BackendRequest): Promise<BackendAnswer>;
  /** What it serves, or undefined when it does not say. */
  model(timeoutMs: number): Promise<BackendModel | undefined>;
  /** Why no picture would be captioned there now; undefined when one would. */
  unreadiness(timeoutMs: number): Promise<string | undefined>;
}

/** An answer is one sentence; anything longer than this is not. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** Room for the words of a calibrated model's score. */
const MAX_MODEL_BYTES = 1024 * 1024;
const MIN_RETRY_SECONDS = 1;
/** A caption is one line, whatever a hosted model says, and text that every database takes. */
const LINE_BREAKERS = /[\s\p{Cc}]+/gu;

const Answer = z.union([
  z.pipe(
    z.array(ImageToTextOutput).check(z.minLength(1)),
    z.transform(([first]) => first as ImageToTextOutput),
  ),
  ImageToTextOutput,
]);
const Score = z.coerce.number().check(z.gte(0), z.lte(1));
const PictureScore = z.coerce.number();

/** Carries our judgement of a response out through the client, which knows only "ok" and "error". */
class Judged extends Error {
  override readonly name = "Judged";
  readonly answer: BackendAnswer;

  constructor(answer: BackendAnswer) {
    super(answer.kind);
    this.answer = answer;
  }
}

export interface BackendOptions {
  readonly url: string;
  readonly secret: string | undefined;
  /** What an access gate in front of the captioner asks for; empty if there is none. */
  readonly accessHeaders: Readonly<Record<string, string>>;
  /** The model it serves, if its answers do not say. */
  readonly hostedModel: ModelIdentity | undefined;
  readonly fetch: typeof fetch;
}

/** A captioner at `url`. Whatever it does is an answer: neither `caption` nor the others reject. */
export function createBackend(options: BackendOptions): Backend {
  const { url, secret, accessHeaders, hostedModel } = options;
  const authorization: Record<string, string> =
    secret === undefined ? {} : { authorization: `Bearer ${secret}` };

  async function get(path: string, timeoutMs: number): Promise<Response> {
    const target = new URL(url);
    target.pathname = target.pathname.replace(/\/$/, "") + path;
    return options.fetch(target.href, {
      headers: { ...accessHeaders, ...authorization },
      redirect: "manual",
      signal: AbortSignal.timeout(timeoutMs),
    });
  }

  return {
    url,
    async caption({ picture, options: generation, owner, timeoutMs, scope }) {
      let headers = new Headers();
      const send: typeof fetch = async (input, init) => {
        const request = new Request(input, { ...init, redirect: "manual" });
        request.headers.set(DEADLINE_MS_HEADER, String(Math.max(1, Math.floor(timeoutMs))));
        request.headers.set(REQUEST_ID_HEADER, scope.requestId);
        request.headers.set("traceparent", scope.traceparent);
        if (scope.priority === "background") request.headers.set(CAPTION_PRIORITY_HEADER, scope.priority);
        if (owner !== undefined) request.headers.set(CAPTION_OWNER_HEADER, owner);
        for (const [name, value] of Object.entries(accessHeaders)) request.headers.set(name, value);
        const response = await options.fetch(request);
        headers = response.headers;
        if (!response.ok) throw new Judged(await judgeError(response));
        return Response.json(await readAnswer(response));
      };
      const { signal, end } = timeLimit(timeoutMs);
      try {
        // Imported off the hit path: the client is a large part of the bundle, and only a miss needs it.
        const { imageToText } = await import("@huggingface/inference");
        const { generated_text } = await imageToText(
          {
            endpointUrl: withOptions(url, generation),
            accessToken: secret ?? "",
            data: new Blob([picture.bytes], { type: picture.type }),
          },
          { retry_on_error: false, fetch: send, signal },
        );
        const named = namedModel(headers);
        if (named === undefined && Object.values(generation).some((value) => value !== undefined)) {
          return { kind: "takes-no-options" };
        }
        const identity = named ?? hostedModel;
        const score = Score.safeParse(headers.get(CAPTION_SCORE_HEADER) ?? undefined);
        const pictureScore = PictureScore.safeParse(headers.get(PICTURE_SCORE_HEADER) ?? undefined);
        return {
          kind: "caption",
          versioned: identity !== undefined,
          fresh: (headers.get(CAPTION_SOURCE_HEADER) ?? "generated") === "generated",
          generated: {
            caption: (generated_text ?? "").replace(LINE_BREAKERS, " ").trim(),
            score: score.success ? score.data : 0,
            ...(pictureScore.success && { picture_score: pictureScore.data }),
            model: identity ?? { id: "unknown", revision: "unknown" },
          },
        };
      } catch (error) {
        if (error instanceof Judged) return error.answer;
        return { kind: isTimeout(error) ? "late" : "broken", reason: silence(error) };
      } finally {
        end();
      }
    },
    async model(timeoutMs) {
      try {
        const response = await get("/v1/model", timeoutMs);
        if (!response.ok) {
          await response.body?.cancel();
          return undefined;
        }
        const parsed = BackendModel.safeParse(JSON.parse(await readText(response, MAX_MODEL_BYTES)));
        return parsed.success ? parsed.data : undefined;
      } catch {
        return undefined;
      }
    },
    async unreadiness(timeoutMs) {
      try {
        const ready = await get("/readyz", timeoutMs);
        await ready.body?.cancel();
        // A hosted endpoint answers, and has no such route.
        if (hostedModel !== undefined && ready.status === 404) return undefined;
        if (!ready.ok) return `/readyz answers ${ready.status}`;
        // Health is open to everybody; only a guarded route tells whether we would get captions.
        const guarded = await get("/v1/model", timeoutMs);
        await guarded.body?.cancel();
        return REFUSALS.has(guarded.status) ? refusal(guarded.status) : undefined;
      } catch (error) {
        return silence(error);
      }
    },
  };
}

/** Statuses of a captioner that does not take us for its worker. */
const REFUSALS: ReadonlySet<number> = new Set([401, 403]);

function refusal(status: number): string {
  return `it refuses our BACKEND_SECRET (of a fallback: FALLBACK_TOKEN) or service token (${status})`;
}

/** Why there is no answer, in our words, because the platform's message may hold the address. */
function silence(error: unknown): string {
  return isTimeout(error) ? "no answer in time" : "no connection, or it broke off";
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === "TimeoutError";
}

function withOptions(url: string, options: GenerationOptions): string {
  const target = new URL(url);
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) target.searchParams.set(name, String(value));
  }
  return target.href;
}

function namedModel(headers: Headers): ModelIdentity | undefined {
  const id = headers.get(MODEL_ID_HEADER);
  const revision = headers.get(MODEL_REVISION_HEADER);
  return id && revision ? { id: decodeModelId(id), revision } : undefined;
}

async function readAnswer(response: Response): Promise<ImageToTextOutput> {
  const text = await readText(response, MAX_ANSWER_BYTES);
  try {
    return Answer.parse(JSON.parse(text));
  } catch {
    throw new Judged({ kind: "broken", reason: "answer is not image-to-text" });
  }
}

/**
 * The text of an answer, at most `maxBytes`, because an isolate has little memory for all its requests. @throws {Judged} if
 * it is longer
 */
async function readText(response: Response, maxBytes: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) throw new Judged({ kind: "broken", reason: "answer too long" });
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

async function judgeError(response: Response): Promise<BackendAnswer> {
  const problem = await readProblem(response);
  if (problem !== undefined && PROBLEMS[problem.code].follows !== "nothing") {
    return { kind: "refused", failure: { code: problem.code, detail: problem.detail } };
  }
  if (response.status === 429 || problem?.code === "shutting-down") {
    return { kind: "busy", retryAfterSeconds: retryAfterSeconds(response) };
  }
  if (REFUSALS.has(response.status)) return { kind: "misconfigured", reason: refusal(response.status) };
  if (problem?.code === "deadline-exceeded") return { kind: "late", reason: problem.code };
  const reason = problem?.code ?? `status ${response.status}`;
  return response.status < 500 ? { kind: "misconfigured", reason } : { kind: "broken", reason };
}

async function readProblem(response: Response): Promise<Problem | undefined> {
  try {
    const parsed = Problem.safeParse(JSON.parse(await readText(response, MAX_ANSWER_BYTES)));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

/** Whole seconds, at least one. */
function retryAfterSeconds(response: Response): number {
  const ms = retryAfterMs(response.headers.get("retry-after"), Date.now()) ?? 0;
  return Math.max(MIN_RETRY_SECONDS, Math.ceil(ms / 1000));
}
