/**
 * Feeds mutated picture files to the decoder: bit flips, truncations, header edits, spliced and repeated pieces.
 * Every file must end as pixels or as a failure with a picture's code. A crash, a throw, a hang or growing memory
 * is a finding.
 */

import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { decodePicture } from "../backend/picture/decode.ts";
import { inspectPicture } from "../backend/picture/inspect.ts";
import { acceptedPictures, refusedPictures } from "../test/support/pictures.ts";
import { runLoad } from "./load.ts";
import type { Report } from "./report.ts";

export const Options = z.object({
  files: z.coerce.number().int().positive().default(10_000).describe("Mutated files in all."),
  seed: z.coerce.number().int().default(1).describe("The same seed makes the same files."),
  keep: z.string().optional().describe("Folder that findings are written to; none where absent."),
});

const LIMITS = { maxPixels: 100_000_000, maxDecodeBytes: 2 ** 30, decodeTimeoutSeconds: 5 };
const MODEL_INPUT = { size: 256, filter: "bicubic" } as const;
/** A file counts as a hang after this time: the decoder's own limit, and some patience for a busy machine. */
const HANG_MS = 8_000;
const AT_ONCE = 4;
/** Memory is compared between the first and the last of these checkpoints, when everything has been loaded. */
const CHECKPOINTS = 10;

/** Marsaglia's xorshift32: the same seed gives the same numbers, so that a finding can be repeated. */
function createRandom(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

type Random = ReturnType<typeof createRandom>;
type Mutation = (bytes: Uint8Array<ArrayBuffer>, random: Random) => Uint8Array<ArrayBuffer>;

/** Formats keep sizes, counts and types here: most of what a header edit can break is in the first bytes. */
const HEADER_BYTES = 64;
const EDGE_VALUES = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

const MUTATIONS: Readonly<Record<string, Mutation>> = {
  flipBits(bytes, random) {
    const changed = bytes.slice();
    for (let flips = 1 + random(16); flips > 0; flips--) {
      const at = random(changed.length);
      changed[at] = (changed[at] as number) ^ (1 << random(8));
    }
    return changed;
  },
  truncate: (bytes, random) => bytes.slice(0, 1 + random(bytes.length)),
  editHeader(bytes, random) {
    const changed = bytes.slice();
    for (let edits = 1 + random(4); edits > 0; edits--) {
      changed[random(Math.min(HEADER_BYTES, changed.length))] = EDGE_VALUES[
        random(EDGE_VALUES.length)
      ] as number;
    }
    return changed;
  },
  setWord(bytes, random) {
    const changed = bytes.slice();
    const at = random(Math.max(1, changed.length - 4));
    const value = [0, 1, 0xffff, 0x7fffffff, 0xffffffff][random(5)] as number;
    new DataView(changed.buffer).setUint32(at, value, random(2) === 0);
    return changed;
  },
  removePiece(bytes, random) {
    const from = random(bytes.length);
    const to = Math.min(bytes.length, from + 1 + random(64));
    return Uint8Array.from([...bytes.subarray(0, from), ...bytes.subarray(to)]);
  },
  repeatPiece(bytes, random) {
    const from = random(bytes.length);
    const piece = bytes.subarray(from, from + 1 + random(256));
    return Uint8Array.from([...bytes.subarray(0, from), ...piece, ...bytes.subarray(from)]);
  },
};

/** Returns how one file ended: `pixels`, or the code of its failure. Throws on a finding. */
async function feed(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const inspected = inspectPicture(bytes, LIMITS);
  if (!inspected.ok) return inspected.failure.code;
  const decoded = await decodePicture(inspected.value, MODEL_INPUT, LIMITS);
  if (!decoded.ok) return decoded.failure.code;
  const expected = 3 * MODEL_INPUT.size ** 2;
  if (decoded.value.length !== expected) throw new Error(`${decoded.value.length} bytes of pixels`);
  return "pixels";
}

async function feedOrHang(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hang = Promise.withResolvers<never>();
  const timer = setTimeout(() => hang.reject(new Error(`no answer in ${HANG_MS} ms`)), HANG_MS);
  try {
    return await Promise.race([feed(bytes), hang.promise]);
  } finally {
    clearTimeout(timer);
  }
}

export async function run({ files, seed, keep }: z.infer<typeof Options>): Promise<Report> {
  const random = createRandom(seed);
  const originals = [...(await acceptedPictures()), ...(await refusedPictures())].filter(
    ({ bytes }) => bytes.length > 4,
  );
  const mutations = Object.entries(MUTATIONS);

  const outcomes: Record<string, number> = {};
  const rssMiB: number[] = [];
  let findings = 0;
  let slowestMs = 0;
  let done = 0;

  async function feedNext(): Promise<void> {
    const original = originals[random(originals.length)] as (typeof originals)[number];
    const [name, mutate] = mutations[random(mutations.length)] as (typeof mutations)[number];
    const bytes = mutate(original.bytes, random);
    const startedAt = performance.now();
    let outcome: string;
    try {
      outcome = await feedOrHang(bytes);
    } catch (error) {
      outcome = "FINDING";
      findings += 1;
      console.error(`${original.name}, ${name}: ${error instanceof Error ? error.message : error}`);
      if (keep !== undefined) {
        await mkdir(keep, { recursive: true });
        await writeFile(join(keep, `${findings}-${name}.bin`), bytes);
      }
    }
    slowestMs = Math.max(slowestMs, performance.now() - startedAt);
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    done += 1;
    if (done % Math.ceil(files / CHECKPOINTS) === 0)
      rssMiB.push(Math.round(process.memoryUsage.rss() / 2 ** 20));
  }

  const { seconds } = await runLoad({ clients: AT_ONCE, requests: files, ask: feedNext });
  return {
    files,
    seed,
    seconds: Math.round(seconds),
    slowest_ms: Math.round(slowestMs),
    findings,
    outcomes,
    rss_mib: rssMiB.join(" "),
  };
}
