import { describe, expect, test } from "vitest";
import { curlLine, pythonLines, typescriptLines } from "../../../worker/desk/snippets.ts";

const ORIGIN = "https://captions.example.org";
const OPTIONS = { max_length: "80", num_beams: "4", prompt: "a photo of" };

describe("with options of the form, each language asks for the same caption", () => {
  test("curl and Python, in the query", () => {
    const parts = { origin: ORIGIN, source: { file: "a b.jpg" }, options: OPTIONS, hasKey: false };
    const address = `${ORIGIN}/v1/captions?max_length=80&num_beams=4&prompt=a+photo+of`;
    expect(curlLine(parts)).toBe(`curl --data-binary @'a b.jpg' '${address}'`);
    expect(pythonLines(parts)).toContain(`requests.post("${address}", data=open("a b.jpg", "rb"))`);
  });

  test.each([
    [{ file: "a.jpg" }, 'client.caption(await readFile("a.jpg"), '],
    [{ url: "https://example.org/a.jpg" }, 'client.captionUrl("https://example.org/a.jpg", '],
    [{ sha256: "00ff" }, 'client.find("00ff", '],
  ])("TypeScript, as the client takes them: %j", (source, call) => {
    const lines = typescriptLines({ origin: ORIGIN, source, options: OPTIONS, hasKey: true });
    expect(lines).toContain(`await ${call}{ max_length: 80, num_beams: 4, prompt: "a photo of" });`);
  });
});

test("without options, none are mentioned", () => {
  const parts = { origin: ORIGIN, source: { sha256: "00ff" }, options: {}, hasKey: false };
  expect(curlLine(parts)).toBe(`curl ${ORIGIN}/v1/captions/00ff`);
  expect(typescriptLines(parts)).toContain('await client.find("00ff");');
});
