/**
 * All captioners as one: the picture's own first, then the others by rendezvous order, then the fallbacks; one that has
 * just failed comes last until it has had time to restart.
 */

import type { Failure } from "../../shared/problem.ts";
import { failed, type Result, success } from "../../shared/result.ts";
import { type BackendModel, GenerationOptions } from "../../shared/schema.ts";
import type { Picture } from "../picture.ts";
import type { RequestScope } from "../request/scope.ts";
import type { Backend, BackendAnswer, BackendRequest } from "./backend.ts";
import { newProbePicture } from "./probe-picture.ts";
import { rendezvousOrder } from "./rendezvous.ts";

const OPTION_NAMES = Object.keys(GenerationOptions.shape).join(", ");
const COOLDOWN_MS = 5_000;
const RETRY_AFTER_SECONDS = 5;

/** The picture itself is at fault, because another one was captioned within the same time. */
const TOO_SLOW: Failure = {
  code: "deadline-exceeded",
  detail: "The captioner did not caption this picture in time, but captioned another one right after.",
};

/** Why one captioner gave no caption, though another may. */
type Shortfall = Exclude<BackendAnswer, { kind: "caption" | "refused" }>;

/** Shortfalls in order, first the one after which the same request is most likely to succeed soon. */
const HOPE: readonly Shortfall["kind"][] = ["busy", "late", "broken", "misconfigured", "takes-no-options"];

export type PoolCaption = Pick<
  Extract<BackendAnswer, { kind: "caption" }>,
  "generated" | "versioned" | "fresh"
>;

export interface BackendPool {
  caption(request: PoolRequest): Promise<Result<PoolCaption>>;
  /**
   * The model of the first captioner, in configured order, that says what it serves. Fallbacks are not asked, because
   * theirs may be another model.
   */
  model(timeoutMs: number): Promise<BackendModel | undefined>;
  /** Whether any captioner is ready, and what keeps the others from being ready. */
  ready(timeoutMs: number): Promise<{ readonly isReady: boolean; readonly warnings: readonly string[] }>;
}

export interface PoolRequest {
  readonly sha256: string;
  readonly picture: Picture;
  readonly options: GenerationOptions;
  /** Whom the caption is for, if tenants share nothing. */
  readonly owner: string | undefined;
  readonly scope: RequestScope;
}

/** The captioners as one. A captioner that failed is asked last for five seconds; each isolate decides this for itself. */
export function createBackendPool(
  captioners: readonly Backend[],
  options: {
    /** Asked only if none of the others gives a caption. */
    readonly fallbacks: readonly Backend[];
    readonly attemptTimeoutMs: number;
    readonly now: () => number;
  },
): BackendPool {
  const { fallbacks, attemptTimeoutMs, now } = options;
  const backends = [...captioners, ...fallbacks];
  const byUrl = new Map(backends.map((backend) => [backend.url, backend]));
  const groups = [captioners, fallbacks].map((group) => [...new Set(group.map(({ url }) => url))]);
  const coolingUntil = new Map<string, number>();

  function order(sha256: string): Backend[] {
    const time = now();
    const ranked = groups
      .flatMap((urls) => rendezvousOrder(urls, sha256))
      .flatMap((url) => byUrl.get(url) ?? []);
    const isCooling = ({ url }: Backend) => (coolingUntil.get(url) ?? 0) > time;
    return [...ranked.filter((backend) => !isCooling(backend)), ...ranked.filter(isCooling)];
  }

  return {
    async caption({ sha256, picture, options: generation, owner, scope }) {
      let shortfall: Shortfall | undefined;
      let late: { readonly backend: Backend; readonly request: BackendRequest } | undefined;
      const candidates = order(sha256);
      for (const [index, backend] of candidates.entries()) {
        const remainingMs = scope.deadline - now();
        if (remainingMs <= 0) break;
        // A job can wait, so it does not turn to a fallback whenever the captioners are busy.
        if (shortfall?.kind === "busy" && scope.priority === "background" && fallbacks.includes(backend))
          continue;
        const isLast = index === candidates.length - 1;
        const timeoutMs = isLast ? remainingMs : Math.min(attemptTimeoutMs, remainingMs);
        const request = { picture, options: generation, owner, timeoutMs, scope };
        const answer = await backend.caption(request);
        switch (answer.kind) {
          case "caption":
            coolingUntil.delete(backend.url);
            return success(answer);
          case "refused":
            return failed(answer.failure);
          case "late":
          case "broken":
          case "misconfigured":
            coolingUntil.set(backend.url, now() + COOLDOWN_MS);
            scope.log.warnings.push(`captioner ${hostOf(backend)}: ${answer.kind}, ${answer.reason}`);
        }
        shortfall = moreHopeful(shortfall, answer);
        late = answer.kind === "late" ? { backend, request } : undefined;
      }
      // Only for background work, because nobody who waits for an answer should also wait for this probe.
      if (shortfall?.kind === "late" && late !== undefined && scope.priority === "background") {
        const { backend, request } = late;
        const other = await backend.caption({ ...request, picture: newProbePicture() });
        if (other.kind === "caption") {
          coolingUntil.delete(backend.url);
          return failed(TOO_SLOW);
        }
      }
      return failed(exhausted(shortfall));
    },
    async model(timeoutMs) {
      const answers = captioners.map((backend) => backend.model(timeoutMs));
      for (const answer of answers) {
        const model = await answer;
        if (model !== undefined) return model;
      }
      return undefined;
    },
    async ready(timeoutMs) {
      const reasons = await Promise.all(backends.map((backend) => backend.unreadiness(timeoutMs)));
      const warnings = reasons.flatMap((reason, index) =>
        reason === undefined ? [] : [`captioner ${hostOf(backends[index])}: not ready, ${reason}`],
      );
      return { isReady: warnings.length < backends.length, warnings };
    },
  };
}

/** A captioner's host, for the log, because a path could hold something private. */
function hostOf(backend: Backend | undefined): string {
  return backend === undefined ? "" : new URL(backend.url).host;
}

/** The one of two after which the same request is more likely to succeed soon. */
function moreHopeful(one: Shortfall | undefined, other: Shortfall): Shortfall {
  if (one === undefined) return other;
  return HOPE.indexOf(one.kind) <= HOPE.indexOf(other.kind) ? one : other;
}

function exhausted(shortfall: Shortfall | undefined) {
  switch (shortfall?.kind) {
    case "busy":
      return {
        code: "overloaded",
        detail: "Every captioner is at capacity or restarting; try again shortly.",
        retryAfterSeconds: shortfall.retryAfterSeconds,
      } as const;
    case "takes-no-options":
      return {
        code: "bad-options",
        detail: `The captioner here is a hosted one, which accepts none of these options: ${OPTION_NAMES}. Leave them out.`,
      } as const;
    case "misconfigured":
      return { code: "backend-error", detail: "The captioner did not accept the request." } as const;
    case "late":
    case "broken":
    case undefined:
      return {
        code: "unavailable",
        detail: "No captioner answered; captions already made are still served.",
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      } as const;
  }
}
