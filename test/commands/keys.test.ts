import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { QUIET_WRANGLER, WRANGLER_SCRIPT } from "../../local/wrangler.ts";
import { runCommand } from "../support/run-command.ts";

test("wrangler's complaints are readable where its colours cannot be shown", async () => {
  const home = await mkdtemp(join(tmpdir(), "keys-"));
  onTestFinished(() => rm(home, { recursive: true }));
  const nobody = {
    HOME: home,
    XDG_CONFIG_HOME: home,
    CLOUDFLARE_API_TOKEN: undefined,
    CLOUDFLARE_API_KEY: undefined,
  };
  const { stderr, status } = await runCommand("keys", ["list", "--remote"], nobody);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^wrangler kv key list failed: .*\[ERROR\].*CLOUDFLARE_API_TOKEN/);
  expect(stderr).not.toContain("u001b");
});

test("a record that cannot be read hides no other key", async () => {
  const folder = await mkdtemp(join(tmpdir(), "keys-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const id = "0".repeat(16);
  const put = ["kv", "key", "put", `key/${id}`, "{", "--binding", "KEYS", "--local", "--persist-to", folder];
  await promisify(execFile)(process.execPath, [WRANGLER_SCRIPT, ...put], {
    env: { ...process.env, ...QUIET_WRANGLER },
  });
  await runCommand("keys", ["create", "--name", "sound", "--persist-to", folder]);
  const { stdout, stderr, status } = await runCommand("keys", ["list", "--persist-to", folder]);
  expect(stdout).toMatch(/\tsound\n$/);
  expect(stderr).toContain(`${id}: its record cannot be read.`);
  expect(status).toBe(1);
});

test("a new key stands alone on standard output, from which a script takes it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "keys-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const create = ["create", "--name", "n", "--persist-to", folder];
  const { stdout, stderr, status } = await runCommand("keys", create);
  expect(stdout).toMatch(/^ate_[0-9a-f]{16}_[0-9a-f]{64}\n$/);
  expect(stderr).toContain(`Its id is ${stdout.slice(4, 20)}.`);
  expect(status).toBe(0);
});
