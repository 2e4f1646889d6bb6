import { applyPatch, createTwoFilesPatch, FILE_HEADERS_ONLY } from "diff";
import { expect, test } from "vitest";
import { patchOf } from "../../site/patch.ts";

/** A page of numbered lines, some of which get a text. */
function page(count: number, changed: readonly number[], { end = "\n", isClosed = true } = {}) {
  const lines = Array.from({ length: count }, (_, i) => `<img src="${i}.jpg">`);
  const filled = lines.map((line, i) => (changed.includes(i) ? line.replace(">", ' alt="A cat">') : line));
  const text = (of: readonly string[]) => of.join(end) + (isClosed ? end : "");
  return { before: text(lines), after: text(filled) };
}

const ofLibrary = (before: string, after: string) =>
  createTwoFilesPatch("a/index.html", "b/index.html", before, after, undefined, undefined, {
    context: 1,
    headerOptions: FILE_HEADERS_ONLY,
  });

test.each([
  { count: 1, changed: [0] },
  { count: 9, changed: [0] },
  { count: 9, changed: [8] },
  { count: 9, changed: [3, 4, 5] },
  { count: 9, changed: [3, 5] },
  { count: 9, changed: [2, 5] },
  { count: 9, changed: [2, 6] },
  { count: 20, changed: [0, 1, 4, 9, 11, 12, 18, 19] },
])(
  "a patch of $count lines, $changed changed, equals the library's, whatever the line ends",
  ({ count, changed }) => {
    for (const options of [{}, { end: "\r\n" }, { isClosed: false }]) {
      const { before, after } = page(count, changed, options);
      const patch = patchOf("index.html", before, after);
      expect(patch).toBe(ofLibrary(before, after));
      expect(applyPatch(before, patch)).toBe(after);
    }
  },
);

test("a page of 20,000 pictures gets a patch, too", () => {
  const every = Array.from({ length: 20_000 }, (_, i) => i);
  const before = every.map((i) => `<img src="${i}.jpg">\n`).join("");
  const after = before.replaceAll(">", ' alt="A cat">');
  expect(applyPatch(before, patchOf("index.html", before, after))).toBe(after);
});
