import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { LabelError, readLabels } from "../../evaluation/labels.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

const DOG = '{"image": "dog.jpg", "split": "dev", "captions": ["a dog"]}';
const CAT = '{"image": "cat.jpg", "split": "test", "captions": ["a cat", "the cat"]}';

async function file(content: string): Promise<string> {
  const path = join(await temporaryFolder(), "captions.jsonl");
  await writeFile(path, content);
  return path;
}

describe("readLabels", () => {
  test("reads past a byte order mark, blank lines and Windows line ends", async () => {
    const path = await file(`\uFEFF${DOG}\r\n\r\n${CAT}\r\n`);
    expect((await readLabels(path)).map(({ image }) => image)).toEqual(["dog.jpg", "cat.jpg"]);
    expect((await readLabels(path, "test")).map(({ image }) => image)).toEqual(["cat.jpg"]);
  });

  test.each([
    ["half a line", `${DOG}\n{"image": "cat.jpg", "capt`, /captions\.jsonl, line 2 is not JSON/],
    [
      "a line that is no label",
      `${DOG}\n\n{"image": "cat.jpg"}`,
      /line 3 is not a labelled picture\.\n {2}captions: expected a list$/,
    ],
    [
      "a name outside the folder",
      '{"image": "../private.jpg", "captions": ["a"]}',
      /line 1 is not a labelled/,
    ],
    ["an absolute name", '{"image": "/etc/passwd", "captions": ["a"]}', /line 1 is not a labelled/],
    [
      "an empty caption",
      '{"image": "a.jpg", "captions": ["a dog", ""]}',
      /line 1 is not .*\n.*English words/,
    ],
    ["a caption in other letters", '{"image": "a.jpg", "captions": ["犬"]}', /English words/],
    ["no line", "\n", /lists no picture\.$/],
  ])("%s is named by file and line", async (_name, content, message) => {
    const reading = readLabels(await file(content));
    await expect(reading).rejects.toBeInstanceOf(LabelError);
    await expect(reading).rejects.toThrow(message);
  });

  test("labels in another encoding are refused, because their words would be misread", async () => {
    const path = join(await temporaryFolder(), "captions.jsonl");
    await writeFile(path, DOG.replace("a dog", "a café"), "latin1");
    await expect(readLabels(path)).rejects.toThrow(/captions\.jsonl is not in UTF-8/);
  });

  test("an unknown split is answered with the names of the known ones", async () => {
    await expect(readLabels(await file(`${DOG}\n${CAT}`), "dve")).rejects.toThrow(
      /'dve'; its splits are: dev, test/,
    );
  });

  test("lines that name the same picture are merged, as if all its captions stood in one line", async () => {
    const lines = ["a dog", "a brown dog", "a dog"].map((caption) =>
      JSON.stringify({ image: "dog.jpg", split: "dev", captions: [caption] }),
    );
    const other = JSON.stringify({ image: "./dog.jpg", split: "dev", captions: ["a puppy"] });
    const [dog, cat, ...others] = await readLabels(await file([...lines, CAT, other].join("\n")));
    expect(dog?.captions).toEqual(["a dog", "a brown dog", "a dog", "a puppy"]);
    expect(cat?.image).toBe("cat.jpg");
    expect(others).toEqual([]);
  });

  test("a missing file is named", async () => {
    await expect(readLabels("no/such/file.jsonl")).rejects.toThrow(/ENOENT.*no\/such\/file\.jsonl/);
  });
});
