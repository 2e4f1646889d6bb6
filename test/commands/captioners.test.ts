/** A captioner in this process answers as the API does: nothing that its model says of a caption is lost on the way. */

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test, vi } from "vitest";
import type { Captioner } from "../../backend/captioner/captioner.ts";
import { openLocalCaptioner } from "../../backend/local-captioner.ts";
import { CaptionApiError, CaptionTransportError } from "../../client/index.ts";
import { captionLocally, openApi } from "../../commands/captioners.ts";
import { type ProblemCode, toProblem } from "../../shared/problem.ts";
import { success } from "../../shared/result.ts";
import { weightedScore } from "../../shared/review.ts";
import { BATCH_LINES, NEW_CAPTION } from "../../worker/docs/examples.ts";

const WEIGHTS = { intercept: -1, log_probability: 1, picture_score: 4, words: { dog: 0.5 } };
const REVIEW = {
  below: 0.5,
  measured_on: "set",
  pictures: 100,
  flagged_share: 0.5,
  quality_above: 0.5,
  weights: WEIGHTS,
};

/** Only what `captionLocally` asks of one. */
function captionerOf(said: { caption: string; score: number; picture_score?: number }): Captioner {
  return {
    model: { id: "m", revision: "r", review: REVIEW },
    caption: async () => success({ ...said, source: "generated" }),
  } as unknown as Captioner;
}

test("the score is the one of the model's weights, the picture's part included", async () => {
  const said = { caption: "a dog", score: 0.8, picture_score: 0.6 };
  const result = await captionLocally(captionerOf(said), new Uint8Array([1]));
  expect(result).toMatchObject({
    ok: true,
    value: { caption: "a dog", score: expect.closeTo(weightedScore(said, WEIGHTS), 6), needs_review: false },
  });
});

test("without the picture's part it is for review", async () => {
  const result = await captionLocally(captionerOf({ caption: "a dog", score: 0.8 }), new Uint8Array([1]));
  expect(result).toMatchObject({ ok: true, value: { score: 0.8, needs_review: true } });
});

const refusal = (code: ProblemCode) => new CaptionApiError(toProblem({ code, detail: "Why." }), undefined);

test("a run over many pictures ends if every other one would fail the same way, and says what to do", () => {
  const { whyNoOther } = openApi("http://127.0.0.1:9", undefined);
  expect(whyNoOther(refusal("unauthorized"))).toBe(
    "A valid key is required: give it as --key, or in CAPTION_API_KEY.",
  );
  expect(whyNoOther(refusal("quota-exceeded"))).toBe("The daily quota is used up: Why.");
  expect(whyNoOther(new CaptionTransportError("Not reached."))).toBe("Not reached.");
  const cause = new TypeError("fetch failed", { cause: new Error("Proxy response (403)") });
  expect(whyNoOther(new CaptionTransportError("Not reached.", { cause }))).toBe(
    "Not reached. (Proxy response (403))",
  );
  expect(whyNoOther(refusal("not-an-image"))).toBeUndefined();
  expect(whyNoOther(new CaptionTransportError("A proxy answered.", { status: 502 }))).toBeUndefined();
  expect(whyNoOther(new Error("no such file"))).toBeUndefined();
});

test("a service without a captioner is given up at the second picture, unless another was captioned between", async () => {
  let cached = false;
  const server = createServer((_, response) => {
    response
      .setHeader("content-type", "application/json")
      .end(JSON.stringify({ ...NEW_CAPTION.generated.value, cached }));
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const { client, whyNoOther } = openApi(`http://127.0.0.1:${port}`, undefined);
  const away = () => whyNoOther(refusal("unavailable"));
  const first = refusal("unavailable");
  expect([whyNoOther(first), whyNoOther(first)]).toEqual([undefined, undefined]);
  await client.caption(new Uint8Array([1]));
  expect(away()).toBeUndefined();
  cached = true;
  await client.captionUrl("https://media.example.org/a.jpg");
  expect(away()).toBe("The service is not available now: Why.");
});

test("what the API's description, the README and the docs show is what the embedded model says", async () => {
  const { captioner, engine } = await openLocalCaptioner(undefined, {});
  onTestFinished(() => engine.close());
  const file = (path: string) => readFile(new URL(`../../${path}`, import.meta.url));
  const said = async (name: string) => {
    const result = await captionLocally(captioner, new Uint8Array(await file(`examples/${name}`)));
    if (!result.ok) throw new Error(result.failure.detail);
    return result.value;
  };
  const cat = NEW_CAPTION.generated.value;
  expect(await said("cat.jpg")).toEqual({ ...cat, score: expect.closeTo(cat.score, 4) });
  const { index: _index, status: _status, ...rocket } = BATCH_LINES.generated.value;
  expect(await said("rocket.jpg")).toEqual({ ...rocket, score: expect.closeTo(rocket.score, 4) });

  expect(String(await file("README.md"))).toContain(`revision ${cat.model.revision}\n`);
  const use = String(await file("docs/use.md"));
  expect(use).toContain(`"score": ${cat.score},`);
  expect(use).toContain(`"revision": "${cat.model.revision}"`);
  const table = String(await file("examples/README.md"));
  for (const name of ["astronaut.jpg", "cat.jpg", "rocket.jpg"]) {
    const { caption, score, needs_review } = await said(name);
    expect(table).toContain(
      `| \`${name}\` | ${caption} | ${score.toFixed(2)} | ${needs_review ? "yes" : "no"} |`,
    );
  }
});

test("the key that was given counts before the one of the environment", async () => {
  vi.stubEnv("CAPTION_API_KEY", "of-the-environment");
  onTestFinished(() => void vi.unstubAllEnvs());
  const keys: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    keys.push(request.headers.authorization);
    response.writeHead(404).end();
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  for (const key of ["given", undefined])
    await openApi(url, key)
      .client.find("0")
      .catch(() => {});
  expect(keys).toEqual(["Bearer given", "Bearer of-the-environment"]);
});
