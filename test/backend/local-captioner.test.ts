import { availableParallelism } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openFastest } from "../../backend/engines/measured-dtype.ts";
import { openLocalCaptioner } from "../../backend/local-captioner.ts";
import { buildBundle } from "../../backend/model/build.ts";
import { TINY_BASE, temporaryFolder } from "../support/tiny-blip.ts";

test("commands caption in the precision that a server on this machine takes, so captions and scores are the same", async () => {
  const folder = join(await temporaryFolder(), "bundle");
  await buildBundle({ base: TINY_BASE, dtypes: ["int8", "fp32"], out: folder });
  const here = { device: "cpu", threads: availableParallelism() } as const;
  const served = await openFastest(folder, here, async ({ bundle: { manifest } }) =>
    manifest.dtype === "fp32" ? 1 : 9,
  );
  const { captioner, engine } = await openLocalCaptioner(folder);
  await engine.close();
  expect(captioner.model.revision).toBe(served.bundle.manifest.revision);
});
