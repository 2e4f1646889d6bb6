/**
 * Tries what somebody could do to the edge with a key or without: real workerd with `wrangler.toml` as it is, and a
 * real backend behind it. Both are started here, and nothing else is sent anything. There is one row per attack,
 * with its result.
 */

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { request } from "node:http";
import { fileURLToPath } from "node:url";
import * as z from "zod";
import { type RunningEdge, startEdge } from "../local/edge.ts";
import { startServer } from "../local/local-server.ts";
import { contentHash } from "../shared/content-hash.ts";
import { Problem } from "../shared/problem.ts";
import { BatchLine } from "../shared/schema.ts";
import { startBackend } from "../test/e2e/edge-support.ts";
import { jpegPicture } from "../test/support/pictures.ts";

export interface AttackRow {
  readonly attack: string;
  readonly came_of_it: string;
  readonly seconds: number;
  readonly is_met: boolean;
}

interface Outcome {
  readonly cameOfIt: string;
  readonly isMet: boolean;
}

interface Key {
  readonly headers: { readonly authorization: string };
}

const UPLOAD_TIMEOUT_MS = 3_000;
const BOGUS_KEYS = 2_000;
const NESTED_LEVELS = 200_000;
const CreatedKey = z.object({ key: z.string() });

/** Runs every attack once, and passes each row to `onRow` as soon as it is known. */
export async function attackEdge(onRow: (row: AttackRow) => void): Promise<readonly AttackRow[]> {
  const backend = await startBackend();
  let readinessAsked = 0;
  let picturesFetched = 0;
  const road = await startServer((incoming, outgoing) => {
    if (incoming.url === "/readyz") readinessAsked += 1;
    const forwarded = request(
      `${backend.url}${incoming.url}`,
      { method: incoming.method, headers: incoming.headers },
      (answer) => answer.pipe(outgoing.writeHead(answer.statusCode ?? 502, answer.headers)),
    );
    forwarded.on("error", () => outgoing.destroy());
    incoming.pipe(forwarded);
  });
  const media = await startServer((_incoming, outgoing) => {
    picturesFetched += 1;
    void jpegPicture(picturesFetched).then((bytes) => outgoing.end(bytes));
  });
  const edge = await startEdge({
    BACKEND_URLS: road.url,
    ACCESS: "keys",
    UPLOAD_TIMEOUT_MS: String(UPLOAD_TIMEOUT_MS),
    URL_ALLOWED_HOSTS: new URL(media.url).host,
  });
  const rows: AttackRow[] = [];
  async function attack(name: string, run: () => Promise<Outcome>): Promise<void> {
    const startedAt = performance.now();
    const { cameOfIt, isMet } = await run();
    const seconds = (performance.now() - startedAt) / 1000;
    const row = { attack: name, came_of_it: cameOfIt, seconds, is_met: isMet };
    rows.push(row);
    onRow(row);
  }

  try {
    const poor = await createKey(edge, ["--daily-quota", "1"]);
    const rich = await createKey(edge, ["--scopes", "read,caption,batch,delete"]);
    const hasty = await createKey(edge, []);

    await attack("five identical pictures at once, with a quota of one", async () => {
      const picture = await newPicture();
      const answers = await Promise.all(Array.from({ length: 5 }, () => caption(edge, poor, picture)));
      const next = await caption(edge, poor, await newPicture());
      const statuses = answers.map(({ status }) => status);
      return {
        cameOfIt: `${statuses.join(" ")}, the next one ${next.status}`,
        isMet: statuses.every((status) => status === 200) && next.status === 429,
      };
    });

    await attack("a batch of 100 addresses with an exhausted quota", async () => {
      const items = Array.from({ length: 100 }, (_, i) => ({ url: `${media.url}/${i}` }));
      const lines = await batch(edge, poor, JSON.stringify({ items }));
      const codes = tally(lines);
      return {
        cameOfIt: `${codes}; ${picturesFetched} fetched`,
        isMet: picturesFetched === 0 && codes === "100 quota-exceeded",
      };
    });

    await attack("20 damaged pictures", async () => {
      const before = await quotaLeft(edge, rich);
      const answers = await Promise.all(
        Array.from({ length: 20 }, async () => caption(edge, rich, (await newPicture()).slice(0, 180))),
      );
      const spent = before - (await quotaLeft(edge, rich)) - 1;
      return {
        cameOfIt: `${[...new Set(answers.map(({ status }) => status))].join(" ")}; ${spent} charged`,
        isMet: spent === 0 && answers.every(({ status }) => status === 422),
      };
    });

    await attack("an upload that trickles", async () => {
      const trickle = new ReadableStream<Uint8Array>({
        async pull(controller) {
          await pause(200);
          controller.enqueue(new Uint8Array(1));
        },
      });
      const answer = await caption(edge, rich, trickle);
      const code = await codeOf(answer);
      return { cameOfIt: `${answer.status} ${code}`, isMet: code === "upload-timeout" };
    });

    await attack(`a batch with metadata nested ${NESTED_LEVELS} deep`, async () => {
      const image = Buffer.from(await newPicture()).toString("base64");
      const deep = (levels: number) => `${"[".repeat(levels)}1${"]".repeat(levels)}`;
      const items = Array.from(
        { length: 8 },
        (_, i) => `{"image":"${image}","metadata":${deep(i === 3 ? NESTED_LEVELS : 1)}}`,
      );
      const codes = tally(await batch(edge, rich, `{"items":[${items.join(",")}]}`));
      return { cameOfIt: codes, isMet: codes === "7 caption, 1 bad-request" };
    });

    await attack("2,000 look-ups in twenty batches", async () => {
      const lines: BatchLine[] = [];
      const startedAt = Date.now();
      for (let count = 0; count < 20; count++) {
        const items = Array.from({ length: 100 }, () => ({ sha256: randomBytes(32).toString("hex") }));
        lines.push(...(await batch(edge, hasty, JSON.stringify({ items }))));
      }
      const answered = lines.filter(
        (line) => line.status === "error" && line.problem.code === "not-captioned",
      ).length;
      // The limit in wrangler.toml applies to minutes of the clock, and a new minute may have begun meanwhile.
      const minutes = 1 + Math.floor(Date.now() / 60_000) - Math.floor(startedAt / 60_000);
      return { cameOfIt: tally(lines), isMet: answered <= 600 * minutes && answered > 0 };
    });

    await attack(`${BOGUS_KEYS} keys that do not exist`, async () => {
      const statuses = new Map<number, number>();
      for (let sent = 0; sent < BOGUS_KEYS; sent += 50) {
        const answers = await Promise.all(
          Array.from({ length: 50 }, () => caption(edge, bogusKey(), new Uint8Array(64))),
        );
        for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }
      const known = await caption(edge, rich, await newPicture());
      const lookedUp = statuses.get(401) ?? 0;
      return {
        cameOfIt: `${lookedUp} looked up, ${statuses.get(429) ?? 0} not; a known key: ${known.status}`,
        isMet: lookedUp <= 200 && known.status === 200,
      };
    });

    await attack("500 times /readyz", async () => {
      const before = readinessAsked;
      const startedAt = performance.now();
      await Promise.all(Array.from({ length: 500 }, () => fetch(`${edge.url}/readyz`).then(drained)));
      const asked = readinessAsked - before;
      const allowed = 1 + Math.ceil((performance.now() - startedAt) / 1000);
      return { cameOfIt: `the captioner was asked ${asked} times`, isMet: asked <= allowed };
    });

    await attack("a query key of 60 kB", async () => {
      const url = `${edge.url}/v1/captions?${"a".repeat(60_000)}=1`;
      const answer = await fetch(url, { method: "POST", body: await newPicture(), headers: rich.headers });
      const { length } = await answer.text();
      return {
        cameOfIt: `${answer.status}, ${length} bytes`,
        isMet: answer.status === 400 && length < 1_000,
      };
    });

    await attack("a caption that is deleted", async () => {
      const picture = await newPicture();
      await caption(edge, rich, picture);
      const path = `${edge.url}/v1/captions/${await contentHash(picture)}`;
      const denied = await fetch(path, { method: "DELETE", headers: poor.headers }).then(drained);
      const deleted = await fetch(path, { method: "DELETE", headers: rich.headers }).then(drained);
      const found = await fetch(path, { headers: rich.headers }).then(drained);
      const statuses = [denied.status, deleted.status, found.status].join(" ");
      return {
        cameOfIt: `without the scope, with it, then asked for: ${statuses}`,
        isMet: statuses === "403 204 404",
      };
    });

    await attack("20 pictures while the captioner is dead", async () => {
      const before = await quotaLeft(edge, rich);
      backend.process.kill("SIGKILL");
      const answers = await Promise.all(
        Array.from({ length: 20 }, async () => caption(edge, rich, await newPicture())),
      );
      const last = await caption(edge, rich, await newPicture());
      const spent = before - remainingOf(last);
      return {
        cameOfIt: `${[...new Set(answers.map(({ status }) => status))].join(" ")}; ${spent} charged`,
        isMet: spent === 0 && answers.every(({ status }) => status === 503),
      };
    });
    return rows;
  } finally {
    await edge.stop();
    road.close();
    media.close();
    backend.process.kill("SIGKILL");
  }
}

/** Creates a key in the edge's local KV, the way its operator does. */
async function createKey({ state }: RunningEdge, options: readonly string[]): Promise<Key> {
  const script = fileURLToPath(new URL("../commands/keys.ts", import.meta.url));
  const child = spawn(
    process.execPath,
    [script, "create", "--name", "attacker", "--json", "--persist-to", state, ...options],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let output = "";
  for await (const chunk of child.stdout) output += chunk;
  return keyOf(CreatedKey.parse(JSON.parse(output)).key);
}

const keyOf = (key: string): Key => ({ headers: { authorization: `Bearer ${key}` } });
const bogusKey = (): Key => keyOf(`ate_${randomBytes(8).toString("hex")}_${randomBytes(32).toString("hex")}`);

function caption(
  { url }: RunningEdge,
  { headers }: Key,
  body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
): Promise<Response> {
  const streamed = body instanceof ReadableStream ? { duplex: "half" as const } : {};
  return fetch(`${url}/v1/captions`, { method: "POST", headers, body, ...streamed });
}

async function batch({ url }: RunningEdge, { headers }: Key, body: string): Promise<BatchLine[]> {
  const response = await fetch(`${url}/v1/captions/batch`, { method: "POST", headers, body });
  if (!response.ok) return [];
  const text = await response.text();
  return text
    .trimEnd()
    .split("\n")
    .map((line) => BatchLine.parse(JSON.parse(line)));
}

/** Makes one more caption, and returns what is left of the day's quota. */
async function quotaLeft(edge: RunningEdge, key: Key): Promise<number> {
  return remainingOf(await caption(edge, key, await newPicture()));
}

function remainingOf({ headers }: Response): number {
  return Number(/"daily";r=(\d+)/.exec(headers.get("ratelimit") ?? "")?.[1]);
}

/** How often each result occurred, the most frequent first. */
function tally(lines: readonly BatchLine[]): string {
  const counts = Map.groupBy(lines, (line) => (line.status === "error" ? line.problem.code : "caption"));
  return Array.from(counts, ([code, group]) => ({ code, count: group.length }))
    .toSorted((a, b) => b.count - a.count)
    .map(({ code, count }) => `${count} ${code}`)
    .join(", ");
}

async function codeOf(response: Response): Promise<string> {
  return response.ok ? "caption" : Problem.parse(await response.json()).code;
}

async function drained(response: Response): Promise<Response> {
  await response.arrayBuffer();
  return response;
}

/** A picture that nobody has sent before: a JPEG with random bytes after its end. */
async function newPicture(): Promise<Uint8Array<ArrayBuffer>> {
  const jpeg = await jpegPicture(1);
  return Uint8Array.from([...jpeg, ...randomBytes(16)]);
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
