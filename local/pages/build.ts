/**
 * Makes what the worker serves as it is: the desk's script for browsers with its page, the OpenAPI document, and the API's page.
 * So neither what bundles nor what describes is part of the worker.
 */

import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { build } from "esbuild";
import { openApiDocument } from "../../worker/docs/openapi.ts";
import { docsPage } from "../../worker/docs/page.ts";

const DESK = join(import.meta.dirname, "../../worker/desk");
const DOCS = join(import.meta.dirname, "../../worker/docs");

async function buildDocs(): Promise<void> {
  const document = openApiDocument();
  await write(join(DOCS, "built/openapi.txt"), JSON.stringify(document));
  await write(join(DOCS, "built/docs.html"), await docsPage(document));
}

async function buildDesk(): Promise<void> {
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
  await write(join(DESK, "built/desk.js"), Buffer.from(script).toString());
  await write(join(DESK, "built/index.html"), page.replaceAll("%VERSION%", version));
}

/** Leaves a file that is as it should be: a running `wrangler dev` starts anew at each that is written. */
async function write(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const there = await readFile(path, "utf8").catch(() => undefined);
  if (there !== text) await writeFile(path, text);
}

await Promise.all([buildDesk(), buildDocs()]);
