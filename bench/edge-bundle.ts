/** Workers as they would be deployed, bundled by wrangler and ready for Miniflare. */

import { spawnSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { QUIET_WRANGLER, WRANGLER_SCRIPT } from "../local/wrangler.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

export interface WorkerBundle {
  /** From its wrangler.toml. */
  readonly compatibilityDate: string;
  readonly modules: { type: "ESModule" | "Text"; path: string; contents: string }[];
  readonly kib: number;
  readonly gzippedKib: number;
}

/** Bundles `script`, a path from the repository's root, into `folder`. @throws Error with wrangler's complaint */
export async function bundleWorker(
  script: string,
  { config, folder }: { config: string; folder: string },
): Promise<WorkerBundle> {
  const { status, stderr } = spawnSync(
    process.execPath,
    [
      WRANGLER_SCRIPT,
      "deploy",
      path.resolve(ROOT, script),
      "--config",
      config,
      "--dry-run",
      "--minify",
      "--outdir",
      folder,
    ],
    { cwd: ROOT, encoding: "utf8", env: { ...process.env, ...QUIET_WRANGLER } },
  );
  if (status !== 0) throw new Error(`${script} was not bundled: ${stderr}`);
  const names = (await readdir(folder)).filter((name) => !/\.(map|md)$/.test(name));
  const modules = await Promise.all(
    names.map(async (name) => ({
      type: name === mainModule(script) ? ("ESModule" as const) : ("Text" as const),
      path: name,
      contents: await readFile(path.join(folder, name), "utf8"),
    })),
  );
  // The main module comes first.
  modules.sort((a, b) => Number(b.type === "ESModule") - Number(a.type === "ESModule"));
  const all = modules.map(({ contents }) => contents).join("");
  return {
    compatibilityDate: await compatibilityDateOf(config),
    modules,
    kib: kibOf(Buffer.byteLength(all)),
    gzippedKib: kibOf(gzipSync(all).length),
  };
}

const mainModule = (script: string) => `${path.basename(script, ".ts")}.js`;

async function compatibilityDateOf(config: string): Promise<string> {
  const date = /^compatibility_date = "(.+)"$/m.exec(await readFile(path.join(ROOT, config), "utf8"))?.[1];
  if (date === undefined) throw new Error(`${config} has no compatibility_date.`);
  return date;
}

const kibOf = (bytes: number) => Math.round((bytes / 1024) * 10) / 10;
