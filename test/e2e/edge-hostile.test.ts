/** The running edge with a real decoder behind it, under hostile input: every request gets its own answer, and both live on. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { type RunningEdge, startEdge } from "../../local/edge.ts";
import { Problem } from "../../shared/problem.ts";
import { Caption } from "../../shared/schema.ts";
import { jpegPicture } from "../support/pictures.ts";
import { type HostileRequest, hostileCorpus } from "./edge-hostile-corpus.ts";
import { type RunningBackend, startBackend } from "./edge-support.ts";

const MIXED_REQUESTS = 2_000;
const CLIENTS = 32;

let edge: RunningEdge;
let backend: RunningBackend;
let corpus: HostileRequest[];

beforeAll(async () => {
  corpus = await hostileCorpus();
  backend = await startBackend();
  edge = await startEdge({ BACKEND_URLS: backend.url });
});
afterAll(async () => {
  await edge.stop();
  backend.process.kill("SIGKILL");
});

async function outcomeOf({ body, contentType, query = "" }: HostileRequest): Promise<string> {
  const response = await fetch(`${edge.url}/v1/captions${query}`, {
    method: "POST",
    body,
    headers: { "content-type": contentType },
  });
  const answer: unknown = await response.json();
  if (response.ok) return Caption.parse(answer) && "caption";
  const problem = Problem.parse(answer);
  expect(problem.status).toBe(response.status);
  expect(problem.detail).not.toMatch(/vips|sharp|node_modules|\bat .+:\d+/i);
  return problem.code;
}

test("each hostile request gets its own answer", async () => {
  expect(
    corpus.filter(({ outcomes }) => outcomes.some((outcome) => outcome !== "caption")).length,
  ).toBeGreaterThan(60);
  const surprises: string[] = [];
  for (const request of corpus) {
    const outcome = await outcomeOf(request);
    const expected: readonly string[] = request.outcomes;
    if (!expected.includes(outcome))
      surprises.push(`${request.name}: ${outcome}, expected ${expected.join(" or ")}`);
  }
  expect(surprises).toEqual([]);
});

test("2,000 mixed requests, a fifth of them hostile: nobody else notices", async () => {
  const hostile = corpus.filter(({ outcomes }) => !outcomes.includes("caption"));
  const pictures = await Promise.all(Array.from({ length: 40 }, (_, seed) => jpegPicture(seed * 31 + 7)));
  const counts = { captions: 0, refusals: 0 };
  const surprises: string[] = [];
  let next = 0;
  const client = async () => {
    for (let index = next++; index < MIXED_REQUESTS; index = next++) {
      const attack = index % 5 === 0 ? hostile[(index / 5) % hostile.length] : undefined;
      const body = pictures[index % pictures.length] as Uint8Array<ArrayBuffer>;
      const request = attack ?? { name: "photo", body, contentType: "image/jpeg", outcomes: ["caption"] };
      const outcome = await outcomeOf(request);
      if (!(request.outcomes as readonly string[]).includes(outcome))
        surprises.push(`${request.name}: ${outcome}`);
      if (attack === undefined) counts.captions += 1;
      else counts.refusals += 1;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  expect(surprises).toEqual([]);
  expect(counts).toEqual({ captions: 1600, refusals: 400 });
  expect((await fetch(`${edge.url}/readyz`)).status).toBe(200);
  expect(backend.process.exitCode).toBeNull();
}, 180_000);
