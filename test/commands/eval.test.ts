import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { runCommand } from "../support/run-command.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

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
    expect(page.match(/<img src="data:image\/jpeg;base64,/g)).toHaveLength(4);
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

  test("a line that is no label is named by its number", async () => {
    const captions = await labels([LABELLED[0] as object, { image: "cat.jpg" }]);
    const { stderr, status } = await runCommand("eval", ["--images", "examples", "--captions", captions]);
    expect(stderr).toMatch(/line 2/);
    expect(status).toBe(2);
  });
});
