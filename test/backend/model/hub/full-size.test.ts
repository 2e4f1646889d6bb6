import { execFileSync } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { openBundle } from "../../../../backend/bundle/bundle.ts";
import { buildBundle } from "../../../../backend/model/build.ts";
import { fetchModel } from "../../../../backend/model/hub/fetch-model.ts";
import { blipBaseFiles } from "../../../support/blip-base-layout.ts";
import { startHubServer } from "../../../support/hub-server.ts";
import { temporaryFolder } from "../../../support/tiny-blip.ts";

const WEIGHTS = "model.safetensors";
const MIB = 1024 * 1024;
const SMALL_DISK_MIB = 128;
const LARGE_DISK_MIB = 700;

// Half a gigabyte is written and read several times over, by whatever disk there is.
vi.setConfig({ testTimeout: 400_000 });

/** A disk of its own for a test, or false where this machine does not let one be mounted. */
function mountDisk(folder: string, mebibytes: number): boolean {
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m`, "tmpfs", folder], { stdio: "ignore" });
  } catch {
    return false;
  }
  onTestFinished(() => void execFileSync("umount", ["-l", folder]));
  return true;
}

function fetchFrom(url: string, cache: string) {
  return fetchModel({
    repository: { id: "tests/model", revision: "main" },
    role: "base",
    config: { endpoint: url, token: undefined, cache, offline: false },
    onProgress: () => {},
    // The room vanishes only while the download runs.
    freeBytes: async () => Number.POSITIVE_INFINITY,
  });
}

test("a model of BLIP-base's size comes over a connection that breaks, and builds", async () => {
  const hub = await startHubServer(blipBaseFiles());
  hub.mishaps.set(WEIGHTS, [
    { kind: "break-off", afterBytes: 100 * MIB },
    { kind: "status", status: 503 },
    { kind: "break-off", afterBytes: 1 },
  ]);
  const base = await fetchFrom(hub.url, await temporaryFolder());
  expect(statSync(join(base.folder, WEIGHTS)).size).toBe(hub.files.get(WEIGHTS)?.length);
  expect(hub.reads.filter(({ path, from }) => path === WEIGHTS && from === 0)).toHaveLength(1);

  const out = join(await temporaryFolder(), "bundle");
  await buildBundle({ base, dtypes: ["fp16"], out });
  const { manifest, graphPath } = await openBundle(out, { device: "cuda" });
  expect(manifest).toMatchObject({ dtype: "fp16", image: { size: 384 } });
  expect(statSync(graphPath).size).toBeGreaterThan(400 * MIB);
});

test("a disk that fills up on the way is named, and what came is kept", async ({ skip }) => {
  const cache = await temporaryFolder();
  if (!mountDisk(cache, SMALL_DISK_MIB)) skip("this machine lets no test mount a disk");
  const hub = await startHubServer(blipBaseFiles());
  await expect(fetchFrom(hub.url, cache)).rejects.toThrow(
    /disk is full.*Make room and run the same command/s,
  );

  const before = hub.reads.length;
  execFileSync("mount", ["-o", `remount,size=${LARGE_DISK_MIB}m`, cache]);
  const { folder } = await fetchFrom(hub.url, cache);
  expect(statSync(join(folder, WEIGHTS)).size).toBe(hub.files.get(WEIGHTS)?.length);
  const [next] = hub.reads.slice(before).filter(({ path }) => path === WEIGHTS);
  expect(next?.from).toBeGreaterThan(SMALL_DISK_MIB * MIB * 0.9);
});
