import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runCommand } from "../support/run-command.ts";

test("what wrangler complains of is readable where its colours cannot be shown", async () => {
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
}, 30_000);
