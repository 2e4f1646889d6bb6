/**
 * `POST /v1/captions/batch`: many pictures, a line of NDJSON as each is done. A bad item fails alone; when the client
 * leaves, nothing further is begun.
 */

import type { Handler } from "hono";
import { toCaption } from "../../shared/caption.ts";
import { withoutNulls } from "../../shared/intake/body.ts";
import { MAX_BATCH_BYTES } from "../../shared/limits.ts";
import { type Failure, FailureError, NOT_STORED, toProblem } from "../../shared/problem.ts";
import type { Result } from "../../shared/result.ts";
import { BatchItem, type BatchLine, BatchRequest, type CaptionOptions } from "../../shared/schema.ts";
import type { Caller } from "../access/caller.ts";
import { NOT_BUFFERED } from "../answer.ts";
import type { CachingCaptioner, CaptionAnswer } from "../caching-captioner.ts";
import { refuseMetadata } from "../intake/metadata.ts";
import { generationOptions, parseOptions, parseWith, queryOf, requireEnglish } from "../intake/options.ts";
import {
  type IdentifiedPicture,
  type IntakeParts,
  pictureFromBase64,
  readJson,
  toPicture,
} from "../intake/picture-request.ts";
import type { AppEnv } from "../request/context.ts";
import { itemFailureOf } from "../request/failure.ts";
import { noteProblem, type RequestScope, withDeadline } from "../request/scope.ts";

/** The path, as the router and as the OpenAPI document write it. */
export const BATCH_PATH = { route: "/v1/captions/batch", document: "/v1/captions/batch" } as const;

/** The platform gives a request six connections; two are left to the cache. */
const CONCURRENT_ITEMS = 4;

const NDJSON = "application/x-ndjson";

interface BatchParts extends IntakeParts {
  readonly captioner: CachingCaptioner;
  /** The longest that one item may take after its picture has arrived; a batch as a whole has no deadline. */
  readonly captionTimeoutMs: number;
}

interface BatchRun extends BatchParts {
  readonly items: readonly unknown[];
  readonly options: CaptionOptions;
  readonly scope: RequestScope;
  readonly caller: Caller;
}

/** Captions up to 100 pictures. */
export function postBatch(parts: BatchParts): Handler<AppEnv> {
  return async (context) => {
    const { scope, caller } = context.var;
    const limits = { maxBytes: MAX_BATCH_BYTES, timeoutMs: parts.uploadTimeoutMs };
    const body = parseWith(BatchRequest, await readJson(context.req.raw, limits), "bad-request");
    const { items, ...beside } = body;
    const options = { ...parseOptions(queryOf(context.req.raw)), ...requireEnglish(beside) };
    const lines = new TransformStream<Uint8Array, Uint8Array>();
    const run = runBatch(lines.writable, {
      ...parts,
      items,
      options,
      scope,
      caller,
    });
    scope.background.waitUntil(run);
    return new Response(lines.readable, {
      headers: { "content-type": NDJSON, ...NOT_STORED, ...NOT_BUFFERED },
    });
  };
}

async function runBatch(output: WritableStream<Uint8Array>, run: BatchRun): Promise<void> {
  const writer = output.getWriter();
  const queue = run.items.entries();
  let gone = false;
  const work = async () => {
    for (const [index, item] of queue) {
      if (gone) return;
      const line = await lineOf(index, item, run);
      try {
        await writer.write(line);
      } catch {
        gone = true;
      }
    }
  };
  const { items, options, caller, scope } = run;
  await run.captioner.warm({ sha256s: hashesOf(items), options: generationOptions(options), caller }, scope);
  await Promise.all(Array.from({ length: CONCURRENT_ITEMS }, work));
  await writer.close().catch(() => {});
}

/** The line of one item, whatever happens to it. */
async function lineOf(index: number, item: unknown, run: BatchRun): Promise<Uint8Array> {
  // A malformed item also gets its metadata back, if that can be read.
  const metadata = BatchItem.shape.metadata.safeParse((item as { metadata?: unknown } | null)?.metadata).data;
  const expected = refuseMetadata(metadata);
  if (expected !== undefined) {
    const detail = `metadata: ${expected}`;
    return failedLine({ index }, { code: "bad-request", detail }, run);
  }
  const base = { index, ...(metadata === undefined ? {} : { metadata }) };
  try {
    // The first item counts as the request itself, which the gate has counted.
    if (index > 0) await run.caller.countItem();
    const { sha256, outcome } = await captionItem(
      parseWith(BatchItem, withoutNulls(item), "bad-request"),
      run,
    );
    if (!outcome.ok) return failedLine(base, outcome.failure, run);
    const { generated, provenance, review } = outcome.value;
    const cached = provenance.kind === "hit";
    const maxLength = run.options.max_length;
    const caption = toCaption({ sha256, generated, cached, maxLength, review });
    return encoded({ ...base, ...caption, status: cached ? "cached" : "generated" });
  } catch (error) {
    return failedLine(base, itemFailureOf(error, "batch item", run.scope), run);
  }
}

function failedLine(
  base: Pick<BatchLine, "index" | "metadata">,
  failure: Failure,
  { scope }: BatchRun,
): Uint8Array {
  noteProblem(scope, failure.code);
  const problem = toProblem(failure);
  return encoded({ ...base, status: "error", problem, retry_after: failure.retryAfterSeconds });
}

function encoded(line: BatchLine): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(line)}\n`);
}

async function captionItem(
  item: BatchItem,
  run: BatchRun,
): Promise<{ sha256: string; outcome: Result<CaptionAnswer> }> {
  const { captioner, caller } = run;
  const options = generationOptions(run.options);
  const clocked = () => withDeadline(run.scope, run.captionTimeoutMs);
  if (item.sha256 !== undefined) {
    const { sha256 } = item;
    const outcome = await captioner.lookUp({ sha256, options, caller, scope: clocked() });
    if (outcome !== undefined) return { sha256, outcome };
    throw new FailureError({ code: "not-captioned", detail: "Send the picture itself." });
  }
  const { sha256, picture } =
    item.url === undefined ? await pictureFromBase64(item.image ?? "") : await fetched(item.url, run);
  const outcome = await captioner.caption({ sha256, picture, options, caller, scope: clocked() });
  return { sha256, outcome };
}

async function fetched(url: string, { caller, fetchPicture }: BatchRun): Promise<IdentifiedPicture> {
  await caller.requireQuota();
  return toPicture(await fetchPicture(url));
}

function hashesOf(items: readonly unknown[]): string[] {
  return items.flatMap((item) => BatchItem.safeParse(withoutNulls(item)).data?.sha256 ?? []);
}
