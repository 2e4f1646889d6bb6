/** `npm run site -- DIR --url API` against the running service, the worker and the backend with the embedded model. */

import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { EMBEDDED_BUNDLE } from "../../backend/model/embedded.ts";
import { type BackendProcess, startBackend } from "../../bench/backend-process.ts";
import { type RunningEdge, startEdge } from "../../local/edge.ts";
import { type LocalServer, startServer } from "../../local/local-server.ts";
import { readCsvTable } from "../../shared/csv.ts";
import { runCommand } from "../support/run-command.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

const CAT = fileURLToPath(new URL("../../examples/cat.jpg", import.meta.url));

let backend: BackendProcess;
let media: LocalServer;
let fetched: string[];
let edge: RunningEdge;
let folder: string;
let pages: Record<string, string>;

beforeAll(async () => {
  fetched = [];
  media = await startServer(async (request, response) => {
    fetched.push(request.url ?? "");
    response.end(await readFile(CAT));
  });
  backend = await startBackend({ BUNDLE: EMBEDDED_BUNDLE });
  edge = await startEdge({
    BACKEND_URLS: backend.url,
    ACCESS: "keys",
    URL_ALLOWED_HOSTS: new URL(media.url).host,
  });
});
afterAll(async () => {
  await edge?.stop();
  await backend?.kill();
  media?.close();
});

beforeEach(async () => {
  fetched.length = 0;
  folder = await temporaryFolder();
  pages = {
    "index.html": `<img src="/cat.jpg">\n<img src="${media.url}/photo.jpg">\n<img src="cat.jpg" alt="">\n<img src="${media.url}/photo.jpg">\n`,
    "posts/one.md": "![](../cat.jpg)\n\n![](../cut.jpg) ![](http://10.0.0.1/private.jpg)\n",
  };
  await mkdir(join(folder, "posts"));
  await copyFile(CAT, join(folder, "cat.jpg"));
  // A photograph whose upload broke off.
  await writeFile(join(folder, "cut.jpg"), (await readFile(CAT)).subarray(0, 200));
  for (const [name, text] of Object.entries(pages)) await writeFile(join(folder, name), text);
});

const written = async () =>
  Object.fromEntries(
    await Promise.all(
      Object.keys(pages).map(async (name) => [name, await readFile(join(folder, name), "utf8")]),
    ),
  );

async function newKey(...more: string[]): Promise<string> {
  const args = ["create", "--name", "site", "--json", "--persist-to", edge.state, ...more];
  const { stdout } = await runCommand("keys", args);
  return (JSON.parse(stdout) as { key: string }).key;
}

const site = (args: readonly string[], key?: string) =>
  runCommand("site", [folder, "--url", edge.url, ...args], { CAPTION_API_KEY: key });

test("writes what the service says, each picture asked for once; names what it refuses; a second run changes nothing", async () => {
  const key = await newKey();
  const report = join(folder, "report.csv");
  const passes = () => backend.metric("caption_forward_passes_total");
  const passesBefore = await passes();
  const shown = await site([], key);
  expect(shown.status).toBe(1);
  expect(shown.stdout).toContain('+<img alt="A cat" src="/cat.jpg">');
  expect(await written()).toEqual(pages);
  expect(fetched).toEqual(["/photo.jpg"]);

  const { status, stderr } = await site(["--write", "--report", report], key);
  expect(status).toBe(1);
  expect(await written()).toEqual({
    "index.html": pages["index.html"]?.replaceAll(/<img (src="[^"]+">)/g, '<img alt="A cat" $1'),
    "posts/one.md": pages["posts/one.md"]?.replace("![]", "![A cat]"),
  });
  expect(stderr).toMatch(/^posts\/one\.md: 3: \.\.\/cut\.jpg: \S.*\.$/m);
  expect(stderr).toMatch(/^posts\/one\.md: 3: http:\/\/10\.0\.0\.1\/private\.jpg: \S.*\.$/m);
  expect(stderr).toContain("4 texts written in 2 of 2 pages; 0 to be reviewed, 2 failed.");
  const rows = readCsvTable(await readFile(report, "utf8"));
  expect(rows).toHaveLength(6);
  expect(rows.filter(({ problem }) => problem !== "")).toHaveLength(2);
  // One photograph, whether it is a file or fetched, in both runs.
  expect((await passes()) - passesBefore).toBe(1);

  const before = await written();
  const again = await site(["--write"], key);
  expect(again).toMatchObject({ status: 1, stdout: "" });
  expect(await written()).toEqual(before);
});

test.each([
  ["no key", async () => undefined, "A valid key is required: give it as --key, or in CAPTION_API_KEY."],
  [
    "a key that was never made",
    async () => `ate_${"0".repeat(16)}_${"0".repeat(64)}`,
    "A valid key is required: give it",
  ],
  ["a key that may only read", async () => newKey("--scopes", "read"), 'The key lacks the scope "caption".'],
])(
  "with %s it says so and writes nothing",
  async (_, keyOf, message) => {
    await writeFile(
      join(folder, "cat.jpg"),
      Buffer.concat([await readFile(CAT), Buffer.from(crypto.randomUUID())]),
    );
    const { status, stdout, stderr } = await site(["--write"], await keyOf());
    expect({ status, stdout }).toEqual({ status: 1, stdout: "" });
    expect(stderr).toContain(message);
    expect(await written()).toEqual(pages);
  },
  60_000,
);

test("where the quota of the day ends in its middle, what is written stays, and it goes on with another key", async () => {
  for (const name of ["a.jpg", "b.jpg"]) {
    await writeFile(
      join(folder, name),
      Buffer.concat([await readFile(CAT), Buffer.from(crypto.randomUUID())]),
    );
  }
  pages = { "1.html": '<img src="a.jpg">\n', "2.html": '<img src="b.jpg">\n' };
  for (const [name, text] of Object.entries(pages)) await writeFile(join(folder, name), text);
  await writeFile(join(folder, "index.html"), "");
  const stopped = await site(["--write"], await newKey("--daily-quota", "1"));
  expect(stopped.status).toBe(1);
  expect(stopped.stderr).toMatch(
    /The daily quota is used up: .* What is written stays; run the same command again to go on/,
  );
  const first = { ...pages, "1.html": '<img alt="A cat" src="a.jpg">\n' };
  expect(await written()).toEqual(first);
  await site(["--write"], await newKey());
  expect(await written()).toEqual({ ...first, "2.html": '<img alt="A cat" src="b.jpg">\n' });
});
