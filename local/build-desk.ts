/** Bundles the desk's script for browsers: `worker/desk/desk.ts` and what it imports, as one small file beside it. */

import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { build } from "esbuild";

const DESK = join(import.meta.dirname, "../worker/desk");

/** Writes `worker/desk/built/`. */
export async function buildDesk(): Promise<void> {
  const { outputFiles } = await build({
    entryPoints: [join(DESK, "desk.ts")],
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    legalComments: "none",
    write: false,
  });
  const script = outputFiles[0]?.contents ?? new Uint8Array();
  const style = await readFile(join(DESK, "style.css"));
  const page = await readFile(join(DESK, "index.html"), "utf8");
  // In the assets' addresses, so that a browser may keep them for good and still gets new ones.
  const version = createHash("sha256").update(script).update(style).digest("hex").slice(0, 16);
  await mkdir(join(DESK, "built"), { recursive: true });
  await write("built/desk.js", Buffer.from(script).toString());
  await write("built/index.html", page.replaceAll("%VERSION%", version));
}

/** Leaves a file that is as it should be: a running `wrangler dev` starts anew at each that is written. */
async function write(name: string, text: string): Promise<void> {
  const path = join(DESK, name);
  const there = await readFile(path, "utf8").catch(() => undefined);
  if (there !== text) await writeFile(path, text);
}

if (import.meta.main) await buildDesk();
