/** A folder of pictures through the running edge into a table: by hash first, gone on with, never twice. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { readCsvTable } from "../../shared/csv.ts";
import { jpegPicture } from "../support/pictures.ts";
import { runCommand } from "../support/run-command.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";
import { type RunningBackend, type RunningEdge, startBackend, startEdge } from "./edge-support.ts";

const PICTURES = 12;
let edge: RunningEdge;
let backend: RunningBackend;
let folder: string;

beforeAll(async () => {
  backend = await startBackend();
  edge = await startEdge({ BACKEND_URLS: backend.url });
}, 90_000);
beforeEach(async () => {
  folder = await temporaryFolder();
  for (let i = 0; i < PICTURES; i++) {
    await writeFile(join(folder, `=${String(i).padStart(2, "0")}.jpg`), await jpegPicture(3_000 + i));
  }
  await writeFile(join(folder, "bad.jpg"), "no picture");
});
afterAll(async () => {
  await edge?.stop();
  backend?.process.kill("SIGKILL");
});

const table = async (csv: string) => readCsvTable(await readFile(csv, "utf8"));

test("an interrupted run is gone on with: each picture once, a row that broke off made anew", async () => {
  const csv = join(folder, "out.csv");
  const args = [folder, "--url", edge.url, "--csv", csv];
  backend.process.send("hold");
  const first = spawn(process.execPath, ["commands/caption.ts", ...args], { stdio: "ignore" });
  await vi.waitFor(async () => expect(await readFile(csv, "utf8")).toContain("file,status"), 20_000);
  const exited = once(first, "exit");
  first.kill("SIGINT");
  expect(await exited).toEqual([130, null]);
  backend.process.send("release");

  const { stdout, stderr, status } = await runCommand("caption", args);
  expect(stderr).toMatch(/bad\.jpg: /);
  expect(stdout).toMatch(/ captioned, \d+ known already, 1 failed, 0 from before; /);
  expect(status).toBe(1);
  const rows = await table(csv);
  const done = rows.filter((row) => row.status !== "failed");
  expect(done.map(({ file }) => file?.slice(folder.length + 1)).sort()).toEqual(
    Array.from({ length: PICTURES }, (_, i) => `=${String(i).padStart(2, "0")}.jpg`),
  );
  for (const { alt } of done) expect(alt).toMatch(/^\d+ \d+ \d+$/);

  // A row that was being written when the machine stopped.
  const { length } = await readFile(csv);
  await truncate(csv, length - 20);
  const again = await runCommand("caption", args);
  expect(again.stdout).toMatch(/^0 captioned, [01] known already, 1 failed, 1[12] from before/);
  const names = (await table(csv)).filter((row) => row.status !== "failed").map(({ file }) => file);
  expect(new Set(names).size).toBe(PICTURES);
  expect(names).toHaveLength(PICTURES);
}, 90_000);

test("a file that is no such table is left as it is; --csv wants an API", async () => {
  const other = join(folder, "budget.csv");
  await writeFile(other, "year,sum\n2026,7\n");
  const refused = await runCommand("caption", [folder, "--url", edge.url, "--csv", other]);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toMatch(/budget\.csv is not a table of this command/);
  expect(await readFile(other, "utf8")).toBe("year,sum\n2026,7\n");

  const alone = await runCommand("caption", [folder, "--csv", other]);
  expect([alone.status, alone.stderr]).toEqual([2, expect.stringContaining("--url and --csv together")]);
});
