import { env } from "cloudflare:workers";
import { describe, expect, test, vi } from "vitest";
import { Problem } from "../../../shared/problem.ts";
import { Caption } from "../../../shared/schema.ts";
import { startEdge } from "../support/edge.ts";
import { post, useFakeNetwork } from "../support/edge-test.ts";
import { hashOf, MANY, newPicture } from "../support/pictures.ts";

const network = useFakeNetwork();

/** A captioner of ours, and a hosted endpoint that names no model. */
function hostedBesideOurs() {
  const [own, hosted] = [network().backend("backend-a.test"), network().backend("hosted.test")];
  hosted.answer = () => Response.json([{ generated_text: "a hosted dog" }]);
  const variables = {
    BACKEND_URLS: "http://backend-a.test,http://hosted.test",
    HOSTED_MODEL: "org/blip@2026",
  };
  return { own, hosted, variables };
}

describe("model revisions", () => {
  test("new weights are noticed in an answer, and old captions are not served from then on", async () => {
    const backend = network().backend("backend-a.test");
    const edge = startEdge();
    const picture = newPicture();
    await edge.fetch("/v1/captions", post(picture));
    backend.revision = "r2";
    backend.caption = "a cat";
    await edge.fetch("/v1/captions", post(newPicture()));
    const answer = Caption.parse(await (await edge.fetch("/v1/captions", post(picture))).json());
    expect(answer).toMatchObject({ caption: "a cat", cached: false, model: { revision: "r2" } });
    const elsewhere = await startEdge().fetch(`/v1/captions/${await hashOf(picture)}`);
    expect(Caption.parse(await elsewhere.json()).caption).toBe("a cat");
  });

  test("an isolate that has not asked for half a minute asks before it answers", async () => {
    const backend = network().backend("backend-a.test");
    const edge = startEdge();
    const picture = newPicture();
    await edge.fetch("/v1/captions", post(picture));
    backend.revision = "r2";
    const now = Date.now();
    vi.spyOn(Date, "now").mockImplementation(() => now + 31_000);
    const answer = await edge.fetch("/v1/captions", post(picture));
    expect(Caption.parse(await answer.json())).toMatchObject({ cached: false, model: { revision: "r2" } });
  });

  test("what was stored while the clock was ahead is not taken for fresh once the clock is set right", async () => {
    const backend = network().backend("backend-a.test");
    const picture = newPicture();
    const now = Date.now();
    const clock = vi.spyOn(Date, "now").mockImplementation(() => now + 24 * 3600_000);
    const edge = startEdge();
    await edge.fetch("/v1/captions", post(picture));
    clock.mockImplementation(() => now);
    backend.revision = "r2";
    for (const at of [edge, startEdge()]) {
      const answer = await at.fetch("/v1/captions", post(picture));
      expect(Caption.parse(await answer.json()).model.revision).toBe("r2");
    }
  });

  test("while a deploy is under way, an option reaches the captioner of the other revision, whose default may differ", async () => {
    network().backend("backend-a.test");
    const next = network().backend("backend-b.test");
    next.revision = "r2";
    const edge = startEdge({ BACKEND_URLS: "http://backend-a.test,http://backend-b.test" });
    for (let count = 0; count < MANY; count++) {
      await edge.fetch("/v1/captions?max_new_tokens=20", post(newPicture()));
    }
    expect(next.requests.length).toBeGreaterThan(0);
    const asked = next.requests.map(({ url }) => new URL(url).searchParams.get("max_new_tokens"));
    expect(new Set(asked)).toEqual(new Set(["20"]));
  });

  test("a model that stays the same is stored once an hour, and again soon if that failed", async () => {
    network().backend("backend-a.test");
    const put = vi.spyOn(env.CAPTIONS, "put");
    const writes = () => put.mock.calls.filter(([key]) => key === "model").length;
    const start = Date.now();
    const clock = vi.spyOn(Date, "now");
    const edge = startEdge();
    const askAt = async (seconds: number) => {
      clock.mockReturnValue(start + seconds * 1000);
      await edge.fetch("/v1/captions", post(newPicture()));
      return writes();
    };
    expect(await askAt(0)).toBe(1);
    for (const seconds of [31, 62, 1800, 3599]) expect(await askAt(seconds)).toBe(1);
    put.mockRejectedValueOnce(new Error("KV PUT failed: 429 Too Many Requests"));
    expect(await askAt(3610)).toBe(2);
    expect(await askAt(3620)).toBe(2);
    expect(await askAt(3645)).toBe(3);
    expect(await askAt(3700)).toBe(3);
  });

  test("a hosted endpoint that names no model is cached only under the model it was configured with", async () => {
    const hosted = network().backend("backend-a.test");
    hosted.answer = () => Response.json({ generated_text: "a dog" });
    vi.mocked(globalThis.fetch).mockImplementation(async (input, init) => {
      const request = new Request(input as Request, init as RequestInit);
      hosted.requests.push(request);
      return request.method === "POST"
        ? Response.json([{ generated_text: "a dog" }])
        : new Response("", { status: 404 });
    });
    const unnamed = await startEdge().fetch("/v1/captions", post(newPicture()));
    expect(unnamed.headers.get("cache-status")).toBe("kv; fwd=miss");
    expect(Caption.parse(await unnamed.json())).toMatchObject({ score: 0, needs_review: true });
    const edge = startEdge({ HOSTED_MODEL: "org/blip@2026" });
    const picture = newPicture();
    await edge.fetch("/v1/captions", post(picture));
    const again = await edge.fetch("/v1/captions", post(picture));
    expect(again.headers.get("cache-status")).toBe("memory; hit");
    expect(Caption.parse(await again.json()).model).toEqual({ id: "org/blip", revision: "2026" });
  });

  test("a hosted endpoint beside a captioner of ours, or in its place, is asked for no picture twice", async () => {
    const { own, hosted, variables } = hostedBesideOurs();
    await startEdge(variables).fetch("/v1/captions", post(newPicture()));
    own.dead = true;
    const edge = startEdge(variables);
    const picture = newPicture();
    const path = `/v1/captions/${await hashOf(picture)}`;
    await edge.fetch("/v1/captions", post(picture));
    const asked = hosted.requests.length;
    const again = await edge.fetch("/v1/captions", post(picture));
    expect(again.headers.get("cache-status")).toBe("memory; hit");
    expect(Caption.parse(await again.json()).model).toEqual({ id: "org/blip", revision: "2026" });
    own.dead = false;
    const elsewhere = startEdge(variables);
    expect((await elsewhere.fetch(path)).status).toBe(200);
    const batch = await elsewhere.fetch("/v1/captions/batch", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ items: [{ sha256: await hashOf(picture) }] }),
    });
    expect(JSON.parse(await batch.text())).toMatchObject({ status: "cached", caption: "a hosted dog" });
    expect(hosted.requests).toHaveLength(asked);
    await edge.fetch(path, { method: "DELETE" });
    expect((await startEdge(variables).fetch(path)).status).toBe(404);
  });

  test("a hosted endpoint takes no options, so a request with options is answered by a captioner of ours, now or later, or is refused", async () => {
    const { own, variables } = hostedBesideOurs();
    const edge = startEdge(variables);
    const ask = () => edge.fetch("/v1/captions?num_beams=4", post(newPicture()));
    for (let i = 0; i < 8; i++)
      expect(Caption.parse(await (await ask()).json()).model.id).not.toBe("org/blip");
    own.dead = true;
    const away = await ask();
    expect([away.status, away.headers.get("retry-after")]).toEqual([503, "5"]);
    const alone = startEdge({ ...variables, BACKEND_URLS: "http://hosted.test" });
    const refused = await alone.fetch("/v1/captions?num_beams=4", post(newPicture()));
    expect([refused.status, Problem.parse(await refused.json()).code]).toEqual([400, "bad-options"]);
    expect((await alone.fetch("/v1/captions", post(newPicture()))).status).toBe(200);
  });

  test("a caption of a hosted endpoint does not trigger a check of the current model", async () => {
    const { hosted, variables } = hostedBesideOurs();
    // What is known stays fresh, however long the test takes.
    vi.spyOn(Date, "now").mockReturnValue(Date.now());
    const edge = startEdge(variables);
    for (let count = 0; count < MANY; count++) await edge.fetch("/v1/captions", post(newPicture()));
    expect(hosted.requests.length).toBeGreaterThan(1);
    const asked = vi.mocked(fetch).mock.calls.filter(([target]) => String(target).endsWith("/v1/model"));
    expect(asked).toHaveLength(2);
  });
});

describe("the review threshold", () => {
  const later = (ms: number) => {
    const now = Date.now();
    vi.spyOn(Date, "now").mockImplementation(() => now + ms);
  };

  test("is the model's present one, also for captions that were cached before", async () => {
    const backend = network().backend("backend-a.test");
    const edge = startEdge();
    const picture = newPicture();
    const ask = async () => Caption.parse(await (await edge.fetch("/v1/captions", post(picture))).json());
    expect(await ask()).toMatchObject({ cached: false, score: 0.71, needs_review: false });
    backend.reviewBelow = 0.8;
    later(31_000);
    expect(await ask()).toMatchObject({ cached: true, score: 0.71, needs_review: true });
    const other = await edge.fetch(`/v1/captions/${await hashOf(picture)}`);
    expect(Caption.parse(await other.json()).needs_review).toBe(true);
  });

  test("comes with the weights of the score, by which cached captions and other isolates' captions are judged too", async () => {
    const backend = network().backend("backend-a.test");
    const picture = newPicture();
    const ask = async (edge: ReturnType<typeof startEdge>) =>
      Caption.parse(await (await edge.fetch("/v1/captions", post(picture))).json());
    expect(await ask(startEdge())).toMatchObject({ cached: false, score: 0.71 });
    backend.scoreWeights = { intercept: 0, log_probability: 0, words: { dog: 2 } };
    later(31_000);
    // 1 / (1 + exp(-2))
    const score = 0.880797;
    expect(await ask(startEdge())).toMatchObject({ cached: true, score, needs_review: false });
    backend.dead = true;
    expect(await ask(startEdge())).toMatchObject({ cached: true, score, needs_review: false });
  });

  test("the picture head's score is kept with the caption, and weighed by every isolate", async () => {
    const backend = network().backend("backend-a.test");
    backend.pictureScore = "0.5";
    backend.scoreWeights = { intercept: 0, log_probability: 0, picture_score: 4, words: {} };
    const picture = newPicture();
    const ask = async (edge: ReturnType<typeof startEdge>) =>
      Caption.parse(await (await edge.fetch("/v1/captions", post(picture))).json());
    // 1 / (1 + exp(-2))
    const score = 0.880797;
    expect(await ask(startEdge())).toMatchObject({ cached: false, score });
    expect(await ask(startEdge())).toMatchObject({ cached: true, score });
  });

  test("is found for a model whose name is not ASCII, which answers name as it is", async () => {
    network().backend("backend-a.test").id = "模型/Müller";
    const response = await startEdge().fetch("/v1/captions", post(newPicture()));
    expect(Caption.parse(await response.json())).toMatchObject({
      needs_review: false,
      model: { id: "模型/Müller", revision: "r1" },
    });
  });

  test("all captions of a model that nobody calibrated are for review", async () => {
    network().backend("backend-a.test").reviewBelow = null;
    const response = await startEdge().fetch("/v1/captions", post(newPicture()));
    expect(Caption.parse(await response.json()).needs_review).toBe(true);
  });

  test("of one revision says nothing about another", async () => {
    const backend = network().backend("backend-a.test");
    const edge = startEdge();
    await edge.fetch("/v1/captions", post(newPicture()));
    backend.revision = "r2";
    const first = await edge.fetch("/v1/captions", post(newPicture()));
    expect(Caption.parse(await first.json())).toMatchObject({
      needs_review: true,
      model: { revision: "r2" },
    });
    const second = await edge.fetch("/v1/captions", post(newPicture()));
    expect(Caption.parse(await second.json()).needs_review).toBe(false);
  });
});
