import { once } from "node:events";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openBundle, writeReview } from "../../backend/bundle/bundle.ts";
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
  test("a report that cannot be written is refused before anything is captioned", async () => {
    const report = join(await temporaryFolder(), "no-folder/report.html");
    const args = ["--images", "examples", "--captions", await labels(LABELLED), "--report", report];
    const { stdout, stderr, status } = await runCommand("eval", args);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain(`${report}: there is no such file or folder.`);
  });

  test("prints the scores of the others, and says in words which picture is missing", async () => {
    const captions = await labels([
      ...LABELLED,
      { image: "nowhere.jpg", split: "dev", captions: ["nothing"] },
    ]);
    const args = ["--images", "examples", "--captions", captions, "--split", "dev"];
    const { stdout, stderr, status } = await runCommand("eval", args);
    expect(status).toBe(1);
    expect(stdout).toMatch(/2 pictures, 1 failed[\s\S]*CIDEr-D/);
    expect(stderr).toContain("nowhere.jpg: there is no such file or folder\n");
  });

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
    expect(page).toMatch(/Worst captions that nobody would review/);
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

  test("an API that wants a key ends it with one line, not one a picture", async () => {
    const server = createServer((_, response) => {
      const problem = {
        type: "about:blank",
        title: "No key",
        status: 401,
        code: "unauthorized",
        detail: "Send one.",
      };
      response.writeHead(401, { "content-type": "application/problem+json" }).end(JSON.stringify(problem));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const args = ["--images", "examples", "--captions", await labels(LABELLED), "--url", url];
    expect(await runCommand("eval", args)).toEqual({
      stdout: "",
      stderr: "No key: give it as --key, or in CAPTION_API_KEY.\n",
      status: 1,
    });
  });

  test("--calibrate writes a threshold into the bundle, and leaves its revision", async () => {
    const { folder, manifest } = await tinyBundleFolder();
    const images = await temporaryFolder();
    const names = Array.from({ length: 120 }, (_, i) => `${i}.jpg`);
    await Promise.all(names.map((name) => copyFile("examples/cat.jpg", join(images, name))));
    const captions = await labels(
      names.map((image) => ({ image, captions: ["a cat looks up", "a brown cat"] })),
    );
    const args = ["--images", images, "--captions", captions, "--bundle", folder, "--calibrate"];
    const { stdout, status } = await runCommand("eval", args);
    expect(status).toBe(0);
    expect(stdout).toMatch(/review below 1: .*flagged everything/s);
    expect(stdout).not.toMatch(/fitted to this set/);
    const calibrated = (await openBundle(folder)).manifest;
    expect(calibrated.review).toMatchObject({ below: 1, pictures: 120, flagged_share: 1 });
    expect(calibrated.review?.measured_on).toMatch(/captions\.jsonl$/);
    expect({ ...calibrated, review: null }).toEqual(manifest);
  });

  test("--calibrate refuses an API, and a set that is too small, even if a picture is named many times", async () => {
    const often = Array.from({ length: 120 }, (_, i) => ({
      image: "cat.jpg",
      captions: [`cat ${i}`, "a cat"],
    }));
    const captions = await labels([...LABELLED, ...often]);
    const args = ["--images", "examples", "--captions", captions, "--calibrate"];
    // Before anything is captioned: there is no such bundle.
    const few = await runCommand("eval", [...args, "--bundle", "no/such/bundle"]);
    expect(few).toMatchObject({ status: 1 });
    expect(few.stderr).toMatch(/at least 100 pictures with two or more captions/);
    expect(await runCommand("eval", [...args, "--url", "http://127.0.0.1:1"])).toMatchObject({ status: 2 });
  });

  test("a bundle beside an API is refused, because one model would pass for the other", async () => {
    const captions = await labels(LABELLED);
    const args = ["--images", "examples", "--captions", captions, "--bundle", "models"];
    expect(await runCommand("eval", [...args, "--url", "http://127.0.0.1:1"])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining("--url or --bundle, not both"),
    });
  });

  describe("says whether the score was fitted to the very set that it is judged on", () => {
    const FITTED = /The score was fitted to this set: on others it is worth less/;

    async function evaluated(measuredOn: (captions: string) => string) {
      const { folder } = await tinyBundleFolder();
      const captions = await labels(LABELLED);
      await writeReview(folder, {
        below: 0.5,
        measured_on: measuredOn(captions),
        pictures: 120,
        flagged_share: 0.5,
        quality_above: 0.4,
        weights: { intercept: 0.5, log_probability: 1, words: {} },
      });
      const report = join(folder, "report.html");
      const args = ["--images", "examples", "--captions", captions, "--split", "dev", "--bundle", folder];
      const text = await runCommand("eval", [...args, "--report", report]);
      const json = await runCommand("eval", [...args, "--json"]);
      return { text: text.stdout, page: await readFile(report, "utf8"), json: JSON.parse(json.stdout) };
    }

    test("which it was: in text, report and JSON", async () => {
      const { text, page, json } = await evaluated(
        (captions) => `${basename(dirname(captions))}/captions.jsonl, dev`,
      );
      expect(text).toMatch(FITTED);
      expect(page).toMatch(FITTED);
      expect(json.score_fitted_to_this_set).toBe(true);
    });

    test("which it was not", async () => {
      const { text, page, json } = await evaluated(
        (captions) => `${basename(dirname(captions))}/captions.jsonl, train`,
      );
      expect(text).toMatch(/for review/);
      expect(text).not.toMatch(FITTED);
      expect(page).not.toMatch(FITTED);
      expect(json.score_fitted_to_this_set).toBe(false);
    });

    test("which an API does not tell", async () => {
      const model = { id: "some/model", revision: "r1" };
      const answer = { caption: "a cat", alt: "A cat", score: 0.5, needs_review: true, model, cached: true };
      const api = createServer((request, response) => {
        response.setHeader("content-type", "application/json");
        response.end(JSON.stringify({ sha256: request.url?.match(/[0-9a-f]{64}/)?.[0], ...answer }));
      }).listen(0, "127.0.0.1");
      onTestFinished(() => void api.close());
      await once(api, "listening");
      const url = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
      const args = ["--images", "examples", "--captions", await labels(LABELLED), "--url", url];
      const json = await runCommand("eval", [...args, "--json"]);
      expect(JSON.parse(json.stdout)).toMatchObject({ images: 3, score_fitted_to_this_set: null });
      expect((await runCommand("eval", args)).stdout).toMatch(/An API does not tell whether/);
    });
  });

  test("a line that is no label is named by its number", async () => {
    const captions = await labels([LABELLED[0] as object, { image: "cat.jpg" }]);
    const { stderr, status } = await runCommand("eval", ["--images", "examples", "--captions", captions]);
    expect(stderr).toMatch(/line 2/);
    expect(status).toBe(2);
  });
});
