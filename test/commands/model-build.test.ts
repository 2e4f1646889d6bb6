import { existsSync, readdirSync, readFileSync } from "node:fs";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startHubServer } from "../support/hub-server.ts";
import { runCommand } from "../support/run-command.ts";
import { TINY_ADAPTER, TINY_BASE, temporaryFolder } from "../support/tiny-blip.ts";

describe("npm run model:build", () => {
  test("a repository of the hub and an adapter's folder become a bundle that captions", async () => {
    const files = readdirSync(TINY_BASE.folder).map((name) => [
      name,
      readFileSync(join(TINY_BASE.folder, name)),
    ]);
    const hub = await startHubServer(Object.fromEntries(files));
    const [out, home] = [join(await temporaryFolder(), "bundle"), await temporaryFolder()];
    const built = await runCommand(
      "model-build",
      ["--base", "tests/model@main", "--adapter", TINY_ADAPTER.folder, "--out", out],
      { HF_ENDPOINT: hub.url, HF_HOME: home },
    );
    expect(built.stderr).toMatch(/Downloading tests\/model@main 100% of \d+ kB/);
    expect(built.stdout).toMatch(/tiny-blip\/adapter, fp32, revision [0-9a-f]{16}/);
    expect(built.stdout).toMatch(
      /every caption needs review until the bundle is calibrated: npm run -s eval -- --calibrate/,
    );
    expect(built.status).toBe(0);
    const captioned = await runCommand("caption", ["--bundle", out, "examples/cat.jpg"]);
    expect(captioned.stdout).toMatch(/^examples\/cat\.jpg\t/);
  });

  test("the hub is reached through the environment's proxy, this machine without one", async () => {
    const files = readdirSync(TINY_BASE.folder).map((name) => [
      name,
      readFileSync(join(TINY_BASE.folder, name)),
    ]);
    const { url } = await startHubServer(Object.fromEntries(files));
    const buildThrough = async (proxy: string, endpoint: string) => {
      const args = ["--base", "tests/model", "--out", join(await temporaryFolder(), "bundle")];
      return runCommand("model-build", args, {
        HF_ENDPOINT: endpoint,
        HF_HOME: await temporaryFolder(),
        HTTP_PROXY: proxy,
        http_proxy: undefined,
        no_proxy: undefined,
        NO_PROXY: "elsewhere.test",
      });
    };
    expect(await buildThrough(url, "http://hub.test")).toMatchObject({ status: 0 });
    expect(await buildThrough("http://nowhere.test:3128", url)).toMatchObject({ status: 0 });
    expect(await buildThrough("proxy:3128", url)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^HTTP_PROXY and HTTPS_PROXY: expected http:\/\/HOST:PORT/),
    });
  });

  test("several precisions, and a repository for Triton with the one that a GPU runs", async () => {
    const folder = await temporaryFolder();
    const [out, triton] = [join(folder, "my bundle"), join(folder, "triton")];
    const args = ["--base", TINY_BASE.folder, "--dtype", "int8,fp16", "--triton", triton, "--out", out];
    const { stdout, stderr, status } = await runCommand("model-build", args);
    expect({ stderr, status }).toMatchObject({ status: 0 });
    expect(stdout).toContain(`--bundle '${out}' --images`);
    expect(stdout).toMatch(/int8, revision .*fp16, revision .*model 'caption' for Triton, fp16/s);
    expect(readFileSync(join(triton, "caption/config.pbtxt"), "utf8")).toMatch(/dynamic_batching/);
  });

  test("a repository for Triton with another picture size is refused before anything is written", async () => {
    const folder = await temporaryFolder();
    const [out, triton] = [join(folder, "bundle"), join(folder, "triton")];
    const args = ["--base", TINY_BASE.folder, "--triton", triton, "--dtype", "fp16", "--out"];
    expect(await runCommand("model-build", [...args, out])).toMatchObject({ status: 0 });
    const other = join(folder, "other");
    const { stderr, status } = await runCommand("model-build", [...args, other, "--image-size", "64"]);
    expect(stderr).toMatch(/^\S+caption holds version \d+ with another picture size/);
    expect([status, existsSync(other)]).toEqual([1, false]);
  });

  test.each([
    [
      ["--base", "no/such/thing", "--out", "bundles/x"],
      /no\/such\/thing is neither a folder nor OWNER\/NAME/,
    ],
    [["--base", TINY_BASE.folder, "--dtype", "fp64", "--out", "bundles/x"], /dtype/],
    [["--base", TINY_BASE.folder], /out/],
    [
      ["--base", TINY_BASE.folder, "--dtype", "int8", "--triton", "bundles/t", "--out", "bundles/x"],
      /^--triton needs a precision for a GPU: add fp16 to --dtype int8/,
    ],
    [
      ["--base", TINY_BASE.folder, "--triton", "bundles/x/t", "--out", "bundles/x/"],
      /^--triton must be outside --out/,
    ],
    [
      ["--base", TINY_BASE.folder, "--adapter", "one/one", "--adapter", "one/other", "--out", "bundles/x"],
      /^--adapter is given more than once/,
    ],
  ])("wrong use %j ends with what to do", async (args, message) => {
    const { stderr, status } = await runCommand("model-build", args);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
  });

  test("a folder of adapters with names of their own is refused by those names", async () => {
    const folder = await temporaryFolder();
    await cp(TINY_ADAPTER.folder, join(folder, "flickr"), { recursive: true });
    const args = ["--base", TINY_BASE.folder, "--adapter", folder, "--out", join(folder, "bundle")];
    const { stderr, status } = await runCommand("model-build", args);
    expect(stderr).toContain(
      `${folder} has its adapters in folders of their own: name ${join(folder, "flickr")}.`,
    );
    expect(status).toBe(1);
  });

  test("an adapter where a base belongs is refused by what it lacks", async () => {
    const args = ["--base", TINY_ADAPTER.folder, "--out", join(await temporaryFolder(), "bundle")];
    const { stderr, status } = await runCommand("model-build", args);
    expect(stderr).toMatch(/config\.json cannot be read/);
    expect(status).toBe(1);
  });
});
