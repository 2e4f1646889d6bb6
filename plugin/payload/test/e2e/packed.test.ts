/**
 * The packed plugin in a second site, as a user has it: its own folder, the tarballs of plugin and client, an existing
 * database that is migrated. What npm would fetch beside them is linked from here, so that no network is needed.
 */

import { execFile } from "node:child_process";
import { cp, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, expect, test } from "vitest";
import { NEXT, PACKAGE } from "./running-site.ts";

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
/** Inside of the repository, as Turbopack follows no link out of its root; beside no other site's packages. */
const SITE = path.join(ROOT, ".cache/second-site");
const PAYLOAD = path.join(PACKAGE, "node_modules/payload/bin.js");
const TSC = path.join(PACKAGE, "node_modules/typescript/bin/tsc");

const CONFIG = `
import path from "node:path";
import { fileURLToPath } from "node:url";
import { sqliteAdapter } from "@payloadcms/db-sqlite";
import { altText, type AltTextOptions } from "alt-text-edge-payload";
import { buildConfig } from "payload";
import sharp from "sharp";

const here = path.dirname(fileURLToPath(import.meta.url));
const options: AltTextOptions = { endpoint: "http://127.0.0.1:9", collections: [{ slug: "pictures", field: "text" }] };
export default buildConfig({
  admin: { importMap: { baseDir: here, importMapFile: path.join(here, "app/(payload)/admin/importMap.js") } },
  collections: [
    {
      slug: "pictures",
      upload: { staticDir: path.join(here, "pictures") },
      fields: [{ type: "tabs", tabs: [{ name: "seo", fields: [{ name: "text", type: "text", required: true }] }] }],
    },
  ],
  db: sqliteAdapter({ client: { url: "file:" + path.join(here, "site.db") }, migrationDir: path.join(here, "migrations"), push: false }),
  plugins: process.env.WITH_PLUGIN === "no" ? [] : [altText(options)],
  secret: "of a test",
  sharp: sharp as never,
  telemetry: false,
  typescript: { autoGenerate: false },
});
`;
const NEXT_CONFIG = `
import { withPayload } from "@payloadcms/next/withPayload";
export default withPayload({ turbopack: { root: ${JSON.stringify(ROOT)} }, typescript: { ignoreBuildErrors: true } }, { devBundleServerPackages: false });
`;
const TSCONFIG = {
  compilerOptions: {
    target: "ES2022",
    lib: ["DOM", "DOM.Iterable", "ES2022"],
    module: "ESNext",
    moduleResolution: "Bundler",
    jsx: "react-jsx",
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: ["node"],
    paths: { "@payload-config": ["./payload.config.ts"] },
  },
  include: ["payload.config.ts"],
};
const SEED = `
import { getPayload } from "payload";
import config from "./payload.config.ts";
const payload = await getPayload({ config });
const data = { filename: process.env.NAME, mimeType: "image/png", seo: { text: process.env.TEXT ?? "" } };
await payload.db.create({ collection: "pictures", data });
await payload.destroy();
`;

const environment = {
  ...process.env,
  PAYLOAD_CONFIG_PATH: path.join(SITE, "payload.config.ts"),
  NEXT_TELEMETRY_DISABLED: "1",
};
const run = (args: readonly string[], more: Record<string, string> = {}) =>
  promisify(execFile)(process.execPath, args, { cwd: SITE, env: { ...environment, ...more } });

/** Packs a package, and unpacks it where npm would install it. */
async function install(folder: string, name: string): Promise<void> {
  const { stdout } = await promisify(execFile)(
    "npm",
    ["pack", folder, "--pack-destination", SITE, "--silent"],
    { cwd: ROOT },
  );
  const target = path.join(SITE, "node_modules", name);
  await mkdir(target, { recursive: true });
  const tarball = path.join(SITE, stdout.trim().split("\n").at(-1) ?? "");
  await promisify(execFile)("tar", ["xzf", tarball, "--strip-components=1", "-C", target]);
}

beforeAll(async () => {
  await rm(SITE, { recursive: true, force: true });
  await mkdir(path.join(SITE, "node_modules"), { recursive: true });
  for (const name of await readdir(path.join(PACKAGE, "node_modules"))) {
    if (name === "alt-text-edge-client" || name.startsWith(".")) continue;
    await symlink(path.join(PACKAGE, "node_modules", name), path.join(SITE, "node_modules", name));
  }
  await install("./client", "alt-text-edge-client");
  await install("./plugin/payload", "alt-text-edge-payload");
  await cp(path.join(PACKAGE, "dev/app"), path.join(SITE, "app"), { recursive: true });
  const files: Readonly<Record<string, string>> = {
    "payload.config.ts": CONFIG,
    "next.config.mjs": NEXT_CONFIG,
    "tsconfig.json": JSON.stringify(TSCONFIG),
    "seed.ts": SEED,
    "package.json": '{ "type": "module", "private": true }',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(SITE, name), text);
});

test("holds what it needs and nothing else", async () => {
  const top = await readdir(path.join(SITE, "node_modules/alt-text-edge-payload"));
  expect(top.sort()).toEqual(["LICENSE", "README.md", "dist", "package.json"]);
});

test.each([
  ["esnext", "bundler"],
  ["nodenext", "nodenext"],
])("has types for module %s and resolution %s", async (module, moduleResolution) => {
  const { stdout } = await run([TSC, "--module", module, "--moduleResolution", moduleResolution]).catch(
    (error) => error,
  );
  expect(stdout).toBe("");
});

test("comes into an existing database by a migration that keeps its texts", async () => {
  const before = { WITH_PLUGIN: "no", NAME: "described.png", TEXT: "Words from before" };
  await run([PAYLOAD, "migrate:create", "before"], before);
  await run([PAYLOAD, "migrate"], before);
  await run([PAYLOAD, "run", "seed.ts"], before);
  await run([PAYLOAD, "run", "seed.ts"], { WITH_PLUGIN: "no", NAME: "empty.png" });
  await run([PAYLOAD, "migrate:create", "with-the-plugin"]);
  await run([PAYLOAD, "migrate"]);
  const { stdout } = await run([PAYLOAD, "alt-text", "--dry-run"], { NODE_ENV: "production" });
  expect(stdout).toContain("pictures: 1 without alt text, nothing is written");
});

test("builds", async () => {
  await run([PAYLOAD, "generate:importmap"]);
  const { stdout } = await run([NEXT, "build", "."], { NODE_ENV: "production" });
  expect(stdout).toContain("/admin/[[...segments]]");
}, 900_000);
