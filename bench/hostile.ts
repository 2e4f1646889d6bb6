/**
 * Attacks a backend of its own with files made to exhaust it, three of a kind at once, while it keeps asking for a
 * normal caption. Each kind gets a row: the answers and when they came, the peak memory of all the backend's
 * processes, and how long normal captions took. Then it attacks an edge of its own (edge-attacks.ts). It sends only
 * to what it has started.
 */

import { readdirSync, readFileSync } from "node:fs";
import sharp, { type Sharp } from "sharp";
import * as z from "zod";
import { Problem } from "../shared/problem.ts";
import {
  animationBomb,
  commentBomb,
  directoryBomb,
  pngBomb,
  scanBomb,
  textBomb,
} from "../test/support/bombs.ts";
import { jpegPicture } from "../test/support/pictures.ts";
import { type BackendProcess, distinct, photograph, startBackend } from "./backend-process.ts";
import { attackEdge } from "./edge-attacks.ts";
import type { Report } from "./report.ts";

export const Options = z.object({
  bombs: z.coerce.number().int().positive().default(3).describe("Of each kind at once."),
});

const SAMPLE_EVERY_MS = 50;
const NORMAL_EVERY_MS = 100;
/** Longest time for a normal picture, longest time for a bomb, and most memory for all of the backend's processes. */
const GOALS = { normalSeconds: 3, bombSeconds: 15, memoryMib: 900 };
const LEAVING_UPLOADS = 80;
const LEAVING_BYTES = 19_500_000;

const KINDS: Readonly<Record<string, () => Promise<Uint8Array<ArrayBuffer>>>> = {
  "PNG, 12 x 12, 14 texts of 40 MB": async () => textBomb(),
  "WebP of 90,000 frames": async () => animationBomb("webp", 90_000),
  "GIF of 90,000 frames": async () => animationBomb("gif", 90_000),
  "APNG of 90,000 frames": async () => animationBomb("apng", 90_000),
  "JPEG of 3,000 scans, 7,000 x 7,000": () => scanBomb({ size: 7_000, scans: 3_000 }),
  "JPEG of 100 scans, 6,500 x 6,500": () => scanBomb({ size: 6_500, scans: 100 }),
  "JPEG of a million comments": async () => commentBomb(await jpegPicture(1), 1_000_000),
  "TIFF of 50,000 directories": () => directoryBomb(50_000),
  "TIFF with transparency of 29 million pixels": () =>
    plain(5_380, (picture) => picture.ensureAlpha(0.5).tiff({ compression: "deflate" })),
  "PNG of 100 million pixels": async () => pngBomb(10_000, 10_000),
  "JPEG, progressive, 62 million pixels": () =>
    plain(7_800, (picture) => picture.jpeg({ progressive: true })),
  "WebP of 34 million pixels": () => plain(5_890, (picture) => picture.webp({ effort: 0 })),
  "GIF of 61 million pixels": () => plain(7_800, (picture) => picture.gif({ effort: 1 })),
  "AVIF of 17 million pixels": () => plain(4_180, (picture) => picture.avif({ effort: 0 })),
  "AVIF of 36 million pixels": () => plain(6_000, (picture) => picture.avif({ effort: 0 })),
};

export async function run({ bombs }: z.infer<typeof Options>): Promise<Report> {
  // As in deploy/Dockerfile.
  const server = await startBackend({ MALLOC_ARENA_MAX: "2" });
  try {
    const restingMib = memoryMib(server.pid);
    console.error(
      `| file, ${bombs} at once | size | answer | slowest answer | most memory | longest normal caption | goal |`,
    );
    console.error("| --- | --- | --- | --- | --- | --- | --- |");
    const rows: Report[] = [];
    for (const [file, make] of Object.entries(KINDS)) {
      const bytes = await make();
      rows.push(
        await attack(server, file, async () => {
          const sent = Array.from({ length: bombs }, (_, i) =>
            timed(answerOf(server.url, distinct(bytes, i))),
          );
          return { answers: await Promise.all(sent), kib: Math.round(bytes.length / 1024) };
        }),
      );
    }
    rows.push(
      await attack(server, `${LEAVING_UPLOADS} uploads of 19.5 MB, who leave after 250 ms`, () =>
        leave(server.url),
      ),
    );
    console.error("\n| attack on the edge | what came of it | time | goal |\n| --- | --- | --- | --- |");
    const edge = await attackEdge((row) => {
      const { attack: name, came_of_it, seconds, is_met } = row;
      console.error(`| ${name} | ${came_of_it} | ${seconds.toFixed(1)} s | ${is_met ? "met" : "MISSED"} |`);
    });
    return { goals: GOALS, resting_mib: restingMib, rows, edge: edge.map((row) => ({ ...row })) };
  } finally {
    await server.stop();
  }
}

interface Attacked {
  readonly answers: readonly TimedAnswer[];
  readonly kib: number;
}

interface TimedAnswer {
  readonly answer: string;
  readonly seconds: number;
}

async function timed(sent: Promise<string>): Promise<TimedAnswer> {
  const startedAt = performance.now();
  const answer = await sent;
  return { answer, seconds: (performance.now() - startedAt) / 1000 };
}

async function attack(server: BackendProcess, file: string, bombs: () => Promise<Attacked>): Promise<Report> {
  let peakMib = 0;
  const sampling = setInterval(() => {
    peakMib = Math.max(peakMib, memoryMib(server.pid));
  }, SAMPLE_EVERY_MS);
  let isOver = false;
  const normal = askNormally(server.url, () => isOver);
  const attacked = bombs();
  const over = () => {
    isOver = true;
  };
  attacked.then(over, over);
  const [{ answers, kib }, normalSeconds] = await Promise.all([attacked, normal]).finally(() =>
    clearInterval(sampling),
  );
  const seconds = Math.max(...answers.map((answer) => answer.seconds));
  const row = {
    file,
    kib,
    answers: [...new Set(answers.map(({ answer }) => answer))].join(", "),
    seconds,
    peak_mib: peakMib,
    normal_seconds: normalSeconds,
  };
  const isMet =
    seconds <= GOALS.bombSeconds && peakMib <= GOALS.memoryMib && normalSeconds <= GOALS.normalSeconds;
  const cells = [file, `${kib} KiB`, row.answers, `${seconds.toFixed(1)} s`, `${peakMib} MiB`];
  console.error(`| ${[...cells, `${normalSeconds.toFixed(2)} s`, isMet ? "met" : "MISSED"].join(" | ")} |`);
  return { ...row, is_met: isMet };
}

let sent = 0;

/** The longest time that a normal picture took, in seconds. */
async function askNormally(url: string, isOver: () => boolean): Promise<number> {
  const photo = await photograph(1);
  let longest = 0;
  do {
    const askedAt = performance.now();
    const answer = await answerOf(url, distinct(photo, 1_000 + sent++));
    if (!answer.startsWith("200")) throw new Error(`A normal picture was answered ${answer}.`);
    longest = Math.max(longest, (performance.now() - askedAt) / 1000);
    await new Promise((resolve) => setTimeout(resolve, NORMAL_EVERY_MS));
  } while (!isOver());
  return longest;
}

async function answerOf(url: string, body: Uint8Array<ArrayBuffer>): Promise<string> {
  const response = await fetch(url, { method: "POST", body });
  const answer: unknown = await response.json();
  return response.ok ? "200" : `${response.status} ${Problem.parse(answer).code}`;
}

/** Sends large pictures in turns from callers that do not wait, so that they would pile up behind each other. */
async function leave(url: string): Promise<Attacked> {
  const photo = await photograph(2);
  const one = async (number: number) => {
    const body = new Uint8Array(LEAVING_BYTES);
    body.set(photo);
    new DataView(body.buffer).setUint32(photo.length, number);
    try {
      const response = await fetch(url, { method: "POST", body, headers: { "x-deadline-ms": "250" } });
      const answer: unknown = await response.json();
      return response.ok ? "200" : `${response.status} ${Problem.parse(answer).code}`;
    } catch {
      return "cut off while it sends";
    }
  };
  const answers: TimedAnswer[] = [];
  for (let turn = 0; turn < LEAVING_UPLOADS / 8; turn++) {
    answers.push(...(await Promise.all(Array.from({ length: 8 }, (_, i) => timed(one(8 * turn + i))))));
  }
  return { answers, kib: Math.round(LEAVING_BYTES / 1024) };
}

/** A square in one colour. */
async function plain(size: number, save: (picture: Sharp) => Sharp): Promise<Uint8Array<ArrayBuffer>> {
  const picture = sharp({
    create: { width: size, height: size, channels: 3, background: "#875" },
    limitInputPixels: false,
  });
  return Uint8Array.from(await save(picture).toBuffer());
}

/** Memory of a process and its children, counting shared memory once. Linux only. */
function memoryMib(pid: number): number {
  const children = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && parentOf(name) === pid);
  const kib = [String(pid), ...children].map((process) => {
    const text = readOrNothing(`/proc/${process}/smaps_rollup`);
    return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0);
  });
  return Math.round(kib.reduce((sum, value) => sum + value, 0) / 1024);
}

function parentOf(pid: string): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readOrNothing(`/proc/${pid}/status`))?.[1]);
}

/** Returns nothing if the process ends in the meantime. */
function readOrNothing(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
