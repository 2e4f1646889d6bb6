import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { openBundle } from "../../backend/bundle/bundle.ts";
import { runCommand } from "../support/run-command.ts";
import { temporaryFolder, tinyBundle } from "../support/tiny-blip.ts";

async function labels(lines: readonly object[]): Promise<string> {
  const path = join(await temporaryFolder(), "captions.jsonl");
  await writeFile(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return path;
}

const LABELLED = [
  { image: "astronaut.jpg", split: "dev", captions: ["a woman in an orange suit <smiles>", "an astronaut"] },
  { image: "cat.jpg", split: "dev", captions: ["a brown cat looks at the camera"] },
  { image: "rocket.jpg", split: "train", captions: ["a rocket starts"] },
];

async function tinyBundleFolder() {
  const { graphPath, manifest } = await tinyBundle();
  return { folder: dirname(graphPath), manifest };
}

describe("npm run eval", () => {
  test("scores the split and writes a page with every caption escaped", async () => {
    const captions = await labels(LABELLED);
    const report = join(await temporaryFolder(), "report.html");
    const args = [
      "--images",
      "examples",
      "--captions",
      captions,
      "--split",
      "dev",
      "--report",
      report,
      "--json",
    ];
    const { stdout, status } = await runCommand("eval", args);
    expect(status).toBe(0);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ images: 2, failed: 0 });
    expect(Object.keys(result.scores)).toEqual([
      "BLEU-1",
      "BLEU-2",
      "BLEU-3",
      "BLEU-4",
      "ROUGE-L",
      "CIDEr-D",
    ]);
    const page = await readFile(report, "utf8");
    expect(page).toContain("&lt;smiles&gt;");
    expect(page.match(/<img src="data:image\/jpeg;base64,/g)?.length).toBeGreaterThanOrEqual(4);
    expect(page).toMatch(/<svg.*Share of good captions against the model's score/s);
    expect(page).toMatch(/Worst that nobody would look at/);
  });

  test("a missing picture is named and counted, the rest is scored", async () => {
    const captions = await labels([...LABELLED, { image: "gone.jpg", captions: ["x"] }]);
    const { stdout, stderr, status } = await runCommand("eval", [
      "--images",
      "examples",
      "--captions",
      captions,
      "--json",
    ]);
    expect(JSON.parse(stdout)).toMatchObject({ images: 3, failed: 1 });
    expect(stderr).toMatch(/gone\.jpg/);
    expect(status).toBe(1);
  });

  test("--calibrate writes a threshold into the bundle, and leaves its revision", async () => {
    const { folder, manifest } = await tinyBundleFolder();
    const image = { image: "cat.jpg", captions: ["a cat looks up", "a brown cat"] };
    const captions = await labels(Array.from({ length: 120 }, () => image));
    const args = ["--images", "examples", "--captions", captions, "--bundle", folder, "--calibrate"];
    const { stdout, status } = await runCommand("eval", args);
    expect(status).toBe(0);
    expect(stdout).toMatch(/review below 1: .*flagged everything/s);
    const calibrated = (await openBundle(folder)).manifest;
    expect(calibrated.review).toMatchObject({ below: 1, pictures: 120, flagged_share: 1 });
    expect(calibrated.review?.measured_on).toMatch(/captions\.jsonl$/);
    expect({ ...calibrated, review: null }).toEqual(manifest);
  });

  test("--calibrate refuses a set too small, and an API", async () => {
    const captions = await labels(LABELLED);
    const args = ["--images", "examples", "--captions", captions, "--calibrate"];
    const few = await runCommand("eval", args);
    expect(few).toMatchObject({ status: 1 });
    expect(few.stderr).toMatch(/at least 100 pictures with two or more captions/);
    expect(await runCommand("eval", [...args, "--url", "http://127.0.0.1:1"])).toMatchObject({ status: 2 });
  });

  test("a line that is no label is named by its number", async () => {
    const captions = await labels([LABELLED[0] as object, { image: "cat.jpg" }]);
    const { stderr, status } = await runCommand("eval", ["--images", "examples", "--captions", captions]);
    expect(stderr).toMatch(/line 2/);
    expect(status).toBe(2);
  });
});
