/** The running edge, closed to all but key holders, as its clients see it: stock Hugging Face, our typed one, and the keys command. */

import { InferenceClient } from "@huggingface/inference";
import { afterAll, beforeAll, expect, test } from "vitest";
import { CaptionApiError, createCaptionClient } from "../../client/index.ts";
import { type RunningEdge, startEdge } from "../../local/edge.ts";
import { jpegPicture } from "../support/pictures.ts";
import { keys, type RunningBackend, startBackend } from "./edge-support.ts";

let edge: RunningEdge;
let backend: RunningBackend;
let key: string;
let id: string;

beforeAll(async () => {
  const secret = "a secret of the house";
  backend = await startBackend({ BACKEND_SECRET: secret });
  edge = await startEdge({ BACKEND_URLS: backend.url, BACKEND_SECRET: secret, ACCESS: "keys" });
  const created = await keys(edge, "create", "--name", "cms", "--daily-quota", "50", "--json");
  expect(created.status).toBe(0);
  ({ key, id } = JSON.parse(created.output));
});
afterAll(async () => {
  await edge.stop();
  backend.process.kill("SIGKILL");
});

test("keys are listed without their secrets", async () => {
  const { output } = await keys(edge, "list");
  expect(output).toContain(id);
  expect(output).toContain("cms");
  expect(output).not.toContain(key.split("_")[2]);
});

test("the stock Hugging Face client works with a key, and not without", async () => {
  const data = new Blob([await jpegPicture(77)], { type: "image/jpeg" });
  const endpointUrl = `${edge.url}/models/test/fake`;
  const { generated_text } = await new InferenceClient(key).endpoint(endpointUrl).imageToText({ data });
  expect(generated_text).toMatch(/^\d+ \d+ \d+$/);
  await expect(new InferenceClient().endpoint(endpointUrl).imageToText({ data })).rejects.toMatchObject({
    httpResponse: { status: 401 },
  });
});

test("our client uploads once, finds it by its hash, and reads a batch", async () => {
  const client = createCaptionClient({ baseUrl: edge.url, apiKey: key });
  const picture = await jpegPicture(99);
  const made = await client.caption(picture);
  expect(made.cached).toBe(false);
  const found = await client.caption(new Blob([picture]));
  expect(found).toEqual({ ...made, cached: true });
  const items = [{ sha256: made.sha256, metadata: { post: 1 } }, { sha256: "0".repeat(64) }];
  const lines = [];
  for await (const line of client.batch(items)) lines.push(line);
  expect(lines.sort((a, b) => a.index - b.index)).toMatchObject([
    { index: 0, status: "cached", metadata: { post: 1 } },
    { index: 1, status: "error", problem: { code: "not-captioned" } },
  ]);
});

test("a wrong key is refused, and a revoked one is gone from the list", async () => {
  const stranger = createCaptionClient({
    baseUrl: edge.url,
    apiKey: key.replace(/.$/, (digit) => (digit === "0" ? "1" : "0")),
  });
  await expect(stranger.find("0".repeat(64))).rejects.toBeInstanceOf(CaptionApiError);
  expect((await keys(edge, "revoke", id)).status).toBe(0);
  expect((await keys(edge, "list")).output).not.toContain(id);
  const again = await keys(edge, "revoke", id);
  expect(again).toMatchObject({ status: 1, output: `There is no key ${id}.\n` });
});
