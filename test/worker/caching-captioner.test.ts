import { describe, expect, test, vi } from "vitest";
import { contentHash } from "../../shared/content-hash.ts";
import { failure, success } from "../../shared/result.ts";
import { ANYBODY } from "../../worker/access/caller.ts";
import type { BackendPool } from "../../worker/backends/pool.ts";
import { type CaptionCache, createCaptionCache } from "../../worker/cache/caption-cache.ts";
import { captionKey } from "../../worker/cache/key.ts";
import { createCachingCaptioner } from "../../worker/caching-captioner.ts";
import type { RequestScope } from "../../worker/request/scope.ts";
import { startEdge } from "./support/edge.ts";
import { post, useFakeNetwork } from "./support/edge-test.ts";
import { newPicture } from "./support/pictures.ts";
import { scopeOf } from "./support/scope.ts";

const network = useFakeNetwork();

describe("identical pictures in flight", () => {
  test("200 at once cost one caption", async () => {
    const backend = network().backend("backend-a.test");
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    backend.answer = async () => {
      await held;
      return Response.json([{ generated_text: "a dog" }], {
        headers: { "x-model-id": "tiny/blip", "x-model-revision": "r1", "x-caption-score": "0.5" },
      });
    };
    const edge = startEdge();
    const picture = newPicture();
    const sent = Array.from({ length: 200 }, () => edge.fetchOnly("/v1/captions", post(picture)));
    await vi.waitFor(() => expect(backend.requests).toHaveLength(1), 10_000);
    release();
    const answers = await Promise.all(sent);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(backend.requests).toHaveLength(1);
    const statuses = answers.map(({ headers }) => headers.get("cache-status"));
    expect(statuses.filter((status) => status === "kv; fwd=miss; stored")).toHaveLength(1);
    expect(statuses).toContain("kv; fwd=miss; stored; collapsed");
  });
});

test("a caller asks the captioner for a picture that a job is waiting for; another job does not", async () => {
  const held = Promise.withResolvers<Awaited<ReturnType<BackendPool["caption"]>>>();
  const asked: string[] = [];
  const captioner = createCachingCaptioner({
    cache: createCaptionCache({}, { timeoutMs: 1_000 }),
    pool: {
      caption: ({ scope }) => {
        asked.push(scope.priority);
        return held.promise;
      },
      model: async () => undefined,
      ready: async () => ({ isReady: true, warnings: [] }),
    },
    currentModel: { get: async () => undefined, observe: () => {} },
    hostedModel: undefined,
  });
  const bytes = newPicture();
  const sha256 = await contentHash(bytes);
  const ask = (priority: RequestScope["priority"]) =>
    captioner.caption({
      sha256,
      picture: { bytes, type: "image/jpeg" },
      options: {},
      caller: ANYBODY,
      scope: scopeOf(priority, { timeoutMs: 60_000 }),
    });
  const answers = [ask("background"), ask("background")];
  await vi.waitFor(() => expect(asked).toEqual(["background"]));
  answers.push(ask("interactive"), ask("interactive"));
  await vi.waitFor(() => expect(asked).toEqual(["background", "interactive"]));
  held.resolve(failure("unavailable", "No captioner is available."));
  for (const answer of await Promise.all(answers)) expect(answer.ok).toBe(false);
  expect(asked).toHaveLength(2);
});

describe("with a cache that is watched, while the model is r1", () => {
  const KNOWN = { id: "tiny/blip", revision: "r1" };
  const captionerWith = (cache: Partial<CaptionCache>) =>
    createCachingCaptioner({
      cache: { ...createCaptionCache({}, { timeoutMs: 1_000 }), ...cache },
      pool: {
        caption: async () => {
          const generated = { caption: "a dog", score: 1, model: { ...KNOWN, revision: "r2" } };
          return success({ generated, versioned: true, fresh: true });
        },
        model: async () => undefined,
        ready: async () => ({ isReady: true, warnings: [] }),
      },
      currentModel: { get: async () => ({ ...KNOWN, checkedAt: 0 }), observe: () => {} },
      hostedModel: undefined,
    });
  const request = async () => {
    const bytes = newPicture();
    const sha256 = await contentHash(bytes);
    const picture = { bytes, type: "image/jpeg" };
    return { sha256, picture, options: {}, caller: ANYBODY, scope: scopeOf("interactive") };
  };

  test("a caption is stored under the revision that made it, which a captioner may have before the edge knows", async () => {
    const stored: string[] = [];
    const store: CaptionCache["store"] = (key) => stored.push(key) > 0;
    const asked = await request();
    expect((await captionerWith({ store }).caption(asked)).ok).toBe(true);
    expect(stored).toEqual([await captionKey({ ...asked, revision: "r2" })]);
  });

  test("a deletion names the key that can be computed, because KV lists a new one only later", async () => {
    const named: string[] = [];
    const forget: CaptionCache["forget"] = async (_prefix, keys) => named.push(...keys) > 0;
    const asked = await request();
    expect(await captionerWith({ forget }).forget(asked)).toBe(true);
    expect(named).toEqual([await captionKey({ ...asked, revision: "r1" })]);
  });
});

test("a run that never settles holds up nobody who comes after its deadline", async () => {
  const backend = network().backend("backend-a.test");
  backend.answer = () => new Promise(() => {});
  vi.spyOn(AbortSignal, "timeout").mockImplementation(() => new AbortController().signal);
  const edge = startEdge({ REQUEST_TIMEOUT_MS: "3000" });
  const picture = newPicture();
  void edge.fetchOnly("/v1/captions", post(picture));
  await vi.waitFor(() => expect(backend.requests).toHaveLength(1), 10_000);
  backend.answer = undefined;
  await new Promise((resolve) => setTimeout(resolve, 3_050));
  expect((await edge.fetchOnly("/v1/captions", post(picture))).status).toBe(200);
});
