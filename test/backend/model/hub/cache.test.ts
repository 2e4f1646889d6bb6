import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { openRepositoryCache } from "../../../../backend/model/hub/cache.ts";
import type { RemoteFile } from "../../../../backend/model/hub/repository.ts";

// As a disk with exFAT refuses one.
vi.mock("node:fs/promises", async (original) => ({
  ...(await original<typeof import("node:fs/promises")>()),
  symlink: async () => {
    throw Object.assign(new Error("operation not permitted"), { code: "EPERM", syscall: "symlink" });
  },
}));

test("a disk without links has copies in their place", async () => {
  const folder = await mkdtemp(join(tmpdir(), "hub-cache-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const commit = "0".repeat(40);
  const file = { path: "onnx/config.json", size: 2, digest: { hex: "ab" } } as RemoteFile;
  const cache = openRepositoryCache(folder, { id: "owner/model", revision: "main" });
  await mkdir(dirname(cache.blobPath(file)), { recursive: true });
  await writeFile(cache.blobPath(file), "{}");

  await cache.link(commit, file);

  expect(await readFile(join(cache.snapshot(commit), file.path), "utf8")).toBe("{}");
  expect(await cache.hasBlob(file)).toBe(true);
});
