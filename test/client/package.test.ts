import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporaryFolder } from "../support/tiny-blip.ts";

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TSC = join(ROOT, "node_modules/typescript/bin/tsc");

/** What a user writes; it is type-checked, bundled and run. */
const PROGRAM = `
import { CaptionApiError, createCaptionClient, type Caption } from "alt-text-edge-client";
const answer = { sha256: "0".repeat(64), caption: "a cat", alt: "A cat", score: 0.5, needs_review: true,
  model: { id: "m", revision: "r" }, cached: true };
const client = createCaptionClient({ baseUrl: "https://captions.test", fetch: async () => Response.json(answer) });
const caption: Caption = await client.caption(new Uint8Array([1, 2, 3]));
const alt: string = caption.alt;
console.log(alt, typeof CaptionApiError);
`;

/** A project that has installed the packed client; its one dependency lies where the registry would have put it. */
async function projectWithClient(tarball: string): Promise<string> {
  const folder = await temporaryFolder();
  const installed = join(folder, "node_modules/alt-text-edge-client");
  await mkdir(installed, { recursive: true });
  await run("tar", ["xzf", tarball, "--strip-components=1", "-C", installed]);
  await symlink(join(ROOT, "node_modules/zod"), join(folder, "node_modules/zod"));
  await writeFile(join(folder, "package.json"), '{ "type": "module" }');
  await writeFile(join(folder, "program.ts"), PROGRAM);
  return folder;
}

let folder: string;
let packed: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "client-"));
  await run("npm", ["pack", "./client", "--pack-destination", folder], { cwd: ROOT });
  packed = join(folder, (await readdir(folder))[0] as string);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test.each([
  ["nodenext", "nodenext"],
  ["esnext", "bundler"],
])(
  "the packed client has types for module %s and resolution %s, without further flags",
  async (module, resolution) => {
    const folder = await projectWithClient(packed);
    const flags = [
      "--noEmit",
      "--strict",
      "--target",
      "es2022",
      "--module",
      module,
      "--moduleResolution",
      resolution,
    ];
    const checked = await run(process.execPath, [TSC, ...flags, "program.ts"], { cwd: folder }).catch(
      (error) => error,
    );
    expect(checked.stdout).toBe("");
  },
);

/** What stands around the examples of the pages, where they are. */
const AROUND: Readonly<Record<string, string>> = {
  "README.md": "declare const file: File;\ndeclare const apiKey: string;\n",
  "client/README.md": "declare const file: File;\ndeclare const sha256: string;\n",
  "docs/jobs.md": `
import { type CaptionClient, type JobItem } from "alt-text-edge-client";
declare const client: CaptionClient;
declare const items: JobItem[];
declare function save(id: string | undefined, alt: string): void;
`,
};

test.each(Object.entries(AROUND))(
  "the TypeScript of %s has the types of the packed client",
  async (page, around) => {
    const folder = await projectWithClient(packed);
    const text = await readFile(join(ROOT, page), "utf8");
    const examples = Array.from(text.matchAll(/^```ts\n([\s\S]*?)^```$/gm), ([, code = ""]) => code);
    expect(examples).not.toEqual([]);
    await writeFile(join(folder, "examples.ts"), around + examples.join(""));
    const flags = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"];
    const checked = await run(process.execPath, [TSC, ...flags, "examples.ts"], { cwd: folder }).catch(
      (error) => error,
    );
    expect(checked.stdout).toBe("");
  },
);

test("it runs in Node and bundles for browsers and Workers, and depends only on zod", async () => {
  const folder = await projectWithClient(packed);
  const { metafile } = await build({
    entryPoints: [join(folder, "program.ts")],
    bundle: true,
    format: "esm",
    platform: "browser",
    outfile: join(folder, "bundled.js"),
    metafile: true,
  });
  const packages = Object.keys(metafile.inputs).map((input) => /node_modules\/([^/]+)/.exec(input)?.[1]);
  expect(new Set(packages)).toEqual(new Set(["alt-text-edge-client", "zod", undefined]));
  expect((await run(process.execPath, ["bundled.js"], { cwd: folder })).stdout).toBe("A cat function\n");
  expect(await readdir(join(folder, "node_modules/alt-text-edge-client"))).toEqual(
    expect.arrayContaining(["LICENSE", "README.md", "dist", "package.json"]),
  );
});

/** What programs hand on as they have it: variables that may not be set, bytes of any library. */
const STRICT_PROGRAM = `
import { createCaptionClient, type CaptionClient, type ClientBatchLine, type ClientJob, type ClientJobLine } from "alt-text-edge-client";
declare const apiKey: string | undefined;
declare const signal: AbortSignal | undefined;
declare const bytes: Uint8Array;
const client: CaptionClient = createCaptionClient({ baseUrl: "https://captions.test", apiKey, retries: undefined,
  maxRetryAfterMs: undefined, fetch: undefined });
await client.caption(bytes, { signal, max_length: undefined });
const lines: ClientBatchLine[] = [];
for await (const line of client.batch([], { signal })) lines.push(line);
const job: ClientJob = await client.jobs.create([], { signal, webhook: undefined, idempotencyKey: undefined });
const results: ClientJobLine[] = [];
for await (const line of client.jobs.results(job.id, { signal })) results.push(line);
`;

test("optional fields, bytes of any buffer and the type of a batch's line pass the strictest settings", async () => {
  const folder = await projectWithClient(packed);
  await writeFile(join(folder, "strict.ts"), STRICT_PROGRAM);
  const flags = [
    "--noEmit",
    "--strict",
    "--exactOptionalPropertyTypes",
    "--target",
    "es2022",
    "--module",
    "nodenext",
  ];
  const checked = await run(process.execPath, [TSC, ...flags, "strict.ts"], { cwd: folder }).catch(
    (error) => error,
  );
  expect(checked.stdout).toBe("");
});
