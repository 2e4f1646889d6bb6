import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { unstable_getVarsForDev as readAsWrangler } from "wrangler";
import { envFile, readLocalSettings, SettingsError } from "../../local/settings.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

async function settingsOf(content: string) {
  const path = join(await temporaryFolder(), "local.env");
  await writeFile(path, content);
  return readLocalSettings(path);
}

test("each side gets its own, past comments, blank lines, quotes, and what Windows writes", async () => {
  const content = '\uFEFFTHREADS=1\r\n\r\n# for both\r\nLOG_LEVEL="warn" # quiet\r\n  ACCESS = keys\r\n';
  expect(await settingsOf(content)).toEqual({
    backend: { THREADS: "1", LOG_LEVEL: "warn" },
    worker: { ACCESS: "keys", LOG_LEVEL: "warn" },
  });
});

test.each([
  ["THREADS=1\nACCESS keys\n", /^local\.env, line 2: expected NAME=value$/],
  ["THREDS=1\n", /THREDS is not a setting/],
  ["PORT=1\n", /PORT is set by npm start itself: npm start -- --backend-port/],
  ["THREADS=none\n", /THREADS: expected a number/],
])("%j is refused", async (content, message) => {
  const reading = settingsOf(content);
  await expect(reading).rejects.toBeInstanceOf(SettingsError);
  await expect(reading).rejects.toThrow(message);
});

test("a file in UTF-16, as PowerShell writes it, and a folder in its place are named", async () => {
  const folder = await temporaryFolder();
  const path = join(folder, "local.env");
  await writeFile(path, Buffer.from("\uFEFFTHREADS=1\r\n", "utf16le"));
  await expect(readLocalSettings(path)).rejects.toThrow(/local\.env: expected text in UTF-8, not in UTF-16/);
  await expect(readLocalSettings(folder)).rejects.toThrow(/^local\.env cannot be read: EISDIR/);
});

test("wrangler reads every value as it was written", async () => {
  const values = {
    BACKEND_SECRET: "pa$$word-$LOG_LEVEL-\\$1\\n",
    LOG_LEVEL: "warn",
    CF_ACCESS_CLIENT_ID: "it's #1",
    CACHE_TIERS: "",
  };
  const folder = await temporaryFolder();
  await writeFile(join(folder, "start.env"), envFile(values));
  const read = readAsWrangler(join(folder, "wrangler.toml"), ["start.env"], {}, undefined, true);
  expect(Object.fromEntries(Object.entries(read).map(([name, { value }]) => [name, value]))).toEqual(values);
});
