import { cp, mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BundleError, openBundle } from "../../../backend/bundle/bundle.ts";
import { checkRevision } from "../../../backend/bundle/revision.ts";
import { buildBundle } from "../../../backend/model/build.ts";
import { TINY_ADAPTER, TINY_BASE, temporaryFolder } from "../../support/tiny-blip.ts";

let whole: string;
let other: string;
beforeAll(async () => {
  const folder = await mkdtemp(join(tmpdir(), "revision-"));
  [whole, other] = [join(folder, "whole"), join(folder, "other")];
  await buildBundle({ base: TINY_BASE, dtypes: ["fp32", "int8"], out: whole });
  await buildBundle({ base: TINY_BASE, adapter: TINY_ADAPTER, dtypes: ["fp32"], out: other });
});

afterAll(() => rm(dirname(whole), { recursive: true }));

/** A copy of the bundle with something done to it. */
async function copied(change: (folder: string) => Promise<void>) {
  const folder = join(await temporaryFolder(), "copy");
  await cp(whole, folder, { recursive: true });
  await change(folder);
  return openBundle(folder, { dtype: "fp32" });
}

const rewritten = (name: string, by: (text: string) => string) => async (folder: string) => {
  const path = join(folder, name);
  await writeFile(path, by(await readFile(path, "utf8")));
};

test.each(["fp32", "int8"] as const)("what was written in %s is whole", async (dtype) => {
  await checkRevision(await openBundle(whole, { dtype }));
});

test("Windows line ends and another review threshold change nothing", async () => {
  const lineEnds = rewritten("vocab.txt", (text) => text.replaceAll("\n", "\r\n"));
  await checkRevision(await copied(lineEnds));
  const review = { below: 0.4, measured_on: "x", pictures: 100, flagged_share: 0.5, quality_above: 0.5 };
  await checkRevision(
    await copied(
      rewritten("bundle.json", (text) =>
        JSON.stringify({ ...JSON.parse(text), review: { ...review, weights: null } }),
      ),
    ),
  );
});

test.each<[string, (folder: string) => Promise<void>, RegExp]>([
  ["a graph cut short", (folder) => truncate(join(folder, "model.onnx"), 1000), /do not belong together/],
  ["no graph", (folder) => rm(join(folder, "model.onnx")), /lacks model\.onnx/],
  ["no vocabulary", (folder) => rm(join(folder, "vocab.txt")), /lacks vocab\.txt/],
  ["half a vocabulary", rewritten("vocab.txt", (text) => text.slice(0, 60)), /do not belong together/],
  [
    "another bundle's graph",
    (folder) => cp(join(other, "model.onnx"), join(folder, "model.onnx")),
    /together/,
  ],
  [
    "another way to see pictures",
    rewritten("bundle.json", (text) => text.replace("bicubic", "nearest")),
    /together/,
  ],
])("%s is refused", async (_, change, message) => {
  const checking = checkRevision(await copied(change));
  await expect(checking).rejects.toBeInstanceOf(BundleError);
  await expect(checking).rejects.toThrow(message);
});
