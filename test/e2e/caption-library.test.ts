/** A folder of pictures through the running edge into a table: by hash first, gone on with, never twice. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type RunningEdge, startEdge } from "../../local/edge.ts";
import { readCsvTable } from "../../shared/csv.ts";
import { jpegPicture } from "../support/pictures.ts";
import { runCommand } from "../support/run-command.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";
import { type RunningBackend, startBackend } from "./edge-support.ts";

const PICTURES = 12;
let edge: RunningEdge;
let backend: RunningBackend;
let folder: string;

beforeAll(async () => {
  backend = await startBackend();
  edge = await startEdge({ BACKEND_URLS: backend.url });
});
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

/** The table with other words for the first picture; others may have been given the same. */
async function edited(csv: string, words: string): Promise<string> {
  const { file, status, alt } = (await table(csv)).find((row) => row.file === join(folder, "=00.jpg")) ?? {};
  return (await readFile(csv, "utf8")).replace(`${file},${status},${alt},`, `${file},${status},${words},`);
}

test("an interrupted run is resumed: each picture once, and a truncated row made anew", async () => {
  const csv = join(folder, "out.csv");
  const args = [folder, "--url", edge.url, "--csv", csv];
  backend.process.send("hold");
  const first = spawn(process.execPath, ["commands/caption.ts", ...args], { stdio: "ignore" });
  await expect.poll(() => readFile(csv, "utf8").catch(() => "")).toContain("file,status");
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
});

test("the table has the current state of each picture: one replaced under its name, one repaired", async () => {
  const csv = join(folder, "out.csv");
  const args = [folder, "--url", edge.url, "--csv", csv];
  await runCommand("caption", args);
  const before = await table(csv);
  await writeFile(csv, await edited(csv, "By hand"));
  for (const [name, colour] of [
    ["=05.jpg", 4_005],
    ["bad.jpg", 4_006],
  ] as const) {
    await writeFile(join(folder, name), await jpegPicture(colour));
  }
  const { stdout, status } = await runCommand("caption", args);
  expect([stdout, status]).toEqual([
    expect.stringMatching(/^2 captioned, 0 known already, 0 failed, 11 from before; 13 to be reviewed\./),
    0,
  ]);
  const rows = await table(csv);
  expect(rows.map(({ file }) => file)).toEqual(before.map(({ file }) => file));
  const changed = rows.filter(({ sha256 }, i) => sha256 !== before[i]?.sha256).map(({ file }) => file);
  expect(changed.sort()).toEqual([join(folder, "=05.jpg"), join(folder, "bad.jpg")]);
  expect(rows.find(({ file }) => file === join(folder, "=00.jpg"))?.alt).toBe("By hand");
});

test("a picture that cannot be read keeps the row that it has, and fails if it has none", async () => {
  const csv = join(folder, "out.csv");
  const args = [folder, "--url", edge.url, "--csv", csv];
  await symlink("/unplugged/never.jpg", join(folder, "never.jpg"));
  await runCommand("caption", args);
  const written = (await edited(csv, "By hand")).replace(",true,", ",FALSE,");
  await writeFile(csv, written);
  await rm(join(folder, "=00.jpg"));
  await symlink("/unplugged/00.jpg", join(folder, "=00.jpg"));
  const { stdout } = await runCommand("caption", args);
  expect(stdout).toMatch(/^0 captioned, 0 known already, 2 failed, 12 from before; 11 to be reviewed\./);
  expect(await readFile(csv, "utf8")).toBe(written);
});

test("a table that a spreadsheet has saved in its own way is continued, and a person's words in it are kept", async () => {
  const csv = join(folder, "out.csv");
  const args = [folder, "--url", edge.url, "--csv", csv];
  await runCommand("caption", args);
  const written = await edited(csv, "By hand");
  const saved = (await edited(csv, '"By hand"')).replace("\uFEFF", "").replaceAll("\r\n", "\n");
  await writeFile(csv, saved);
  const { stdout } = await runCommand("caption", args);
  expect(stdout).toMatch(/^0 captioned, 0 known already, 1 failed, 12 from before; 12 to be reviewed\./);
  expect(await readFile(csv, "utf8")).toBe(written);
});

test("a file that is no such table is left as it is; --csv wants an API", async () => {
  const other = join(folder, "budget.csv");
  await writeFile(other, "year,sum\n2026,7\n");
  const refused = await runCommand("caption", [folder, "--url", edge.url, "--csv", other]);
  expect(refused.status).toBe(1);
  expect(refused.stderr).toMatch(/budget\.csv is not a table that this command wrote/);
  expect(await readFile(other, "utf8")).toBe("year,sum\n2026,7\n");

  const alone = await runCommand("caption", [folder, "--csv", other]);
  expect([alone.status, alone.stderr]).toEqual([2, expect.stringContaining("--url and --csv together")]);
});
