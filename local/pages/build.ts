/**
 * Makes the static files in worker/built: the desk and the API's page with their scripts and style, the OpenAPI document,
 * the example photographs, and `_headers`. So the code that bundles and describes is not part of the worker.
 */

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { build } from "esbuild";
import { openApiDocument } from "../../worker/docs/openapi.ts";
import { docsPage } from "../../worker/docs/page.ts";

const ROOT = join(import.meta.dirname, "../..");
const BUILT = join(ROOT, "worker/built");
const EXAMPLES = ["astronaut.jpg", "cat.jpg", "rocket.jpg"];

/** Pages load nothing from elsewhere, except pictures that a person linked. */
const PAGE_HEADERS = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob: https: http:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "Referrer-Policy": "no-referrer",
  // A page of another origin that opens the desk must not go on steering it, for each link puts a row on it.
  "Cross-Origin-Opener-Policy": "same-origin",
};
/** For files that have their content's hash in their name. */
const FOREVER = { "Cache-Control": "public, max-age=31536000, immutable" };

/** The bytes to serve at each address. */
const files = new Map<string, Uint8Array>();
const headers: Record<string, Record<string, string>> = {
  "/*": { "X-Content-Type-Options": "nosniff" },
  "/": PAGE_HEADERS,
  "/docs": PAGE_HEADERS,
};

/** Adds a file that is named by its content, and returns its address. */
function addVersioned(name: string, extension: string, content: Uint8Array): string {
  const hash = createHash("sha256").update(content).digest("hex").slice(0, 16);
  const address = `/assets/${name}.${hash}.${extension}`;
  files.set(address, content);
  headers[address] = FOREVER;
  return address;
}

async function scriptOf(entry: string): Promise<Uint8Array> {
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, entry)],
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    legalComments: "none",
    write: false,
  });
  return outputFiles[0]?.contents ?? new Uint8Array();
}

const read = (path: string) => readFile(join(ROOT, path));
const icon = addVersioned("icon", "svg", await read("worker/desk/icon.svg"));
const styles = await Promise.all(["shared/page.css", "worker/desk/style.css"].map(read));
const style = addVersioned("style", "css", Buffer.concat(styles));
const deskScript = addVersioned("desk", "js", await scriptOf("worker/desk/desk.ts"));
const docsScript = addVersioned("docs", "js", await scriptOf("worker/docs/browser/try-it.ts"));
const document = openApiDocument();
files.set("/openapi.json", Buffer.from(JSON.stringify(document)));
files.set("/docs.html", Buffer.from(await docsPage(document, { icon, style, script: docsScript })));
const desk = (await read("worker/desk/index.html")).toString();
files.set(
  "/index.html",
  Buffer.from(desk.replace("%ICON%", icon).replace("%STYLE%", style).replace("%SCRIPT%", deskScript)),
);
for (const name of EXAMPLES) files.set(`/assets/examples/${name}`, await read(`examples/${name}`));
files.set("/_headers", Buffer.from(headersFile()));

/** https://developers.cloudflare.com/workers/static-assets/headers/ */
function headersFile(): string {
  return Object.entries(headers)
    .map(([address, named]) => {
      const lines = Object.entries(named).map(([name, value]) => `  ${name}: ${value}\n`);
      return `${address}\n${lines.join("")}`;
    })
    .join("");
}

/** Writes a file only if it differs, because a running `wrangler dev` restarts with each file that is written. */
async function write(path: string, content: Uint8Array): Promise<void> {
  const there = await readFile(path).catch(() => undefined);
  if (there?.equals(content)) return;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}

for (const [address, content] of files) await write(join(BUILT, address), content);
for (const entry of await readdir(BUILT, { recursive: true, withFileTypes: true })) {
  const path = join(entry.parentPath, entry.name);
  if (entry.isFile() && !files.has(`/${relative(BUILT, path)}`)) await rm(path);
}
