import { fromMarkdown } from "mdast-util-from-markdown";
import { parseFragment } from "parse5";
import { describe, expect, test } from "vitest";
import { readCsvTable } from "../../../shared/csv.ts";
import { type Format, takeAway } from "../../../worker/desk/take-away.ts";
import type { Row } from "../../../worker/desk/worklist.ts";

const rowOf = (name: string, text: string): Row => ({
  id: name,
  name,
  url: undefined,
  sha256: undefined,
  state: { kind: "captioned", cached: false },
  original: undefined,
  model: "m",
  needsReview: false,
  text,
  decision: "accepted",
});

/** What parsers of others read from it: an address and a text each. */
const readers: Readonly<Record<Format, (taken: string) => (readonly [source: string, alt: string])[]>> = {
  json: (taken) => (JSON.parse(taken) as { name: string; alt: string }[]).map(({ name, alt }) => [name, alt]),
  csv: (taken) => readCsvTable(taken).map(({ name = "", alt = "" }) => [name, alt]),
  html: (taken) =>
    parseFragment(taken).childNodes.flatMap((node) => {
      if (!("attrs" in node)) return [];
      const [source, alt] = node.attrs;
      return [[source?.value ?? "", alt?.value ?? ""]];
    }),
  markdown: (taken) =>
    fromMarkdown(taken).children.flatMap((block) =>
      "children" in block
        ? block.children.flatMap((node) => (node.type === "image" ? [[node.url, node.alt ?? ""]] : []))
        : [],
    ) as [string, string][],
};

const TEXTS = [
  "A \"dog\" & a 'cat' | a <b>bird</b>",
  "AT&amp;T and &#35; and &copy; are written out",
  "[open] (now) ![x](y) `code` _em_ *b* \\[ ends with \\",
  "=SUM(A1) 😀 כלב",
];
const ADDRESSES = [
  "https://x.example/?a=1&copy;=2&amp;b=3",
  "https://x.example/a\\_b(1)*.jpg",
  "https://x.example/#[ü]",
  "photo.jpg",
];

describe("exported texts are read by other programs as they were written", () => {
  test.each(Object.entries(readers))("%s", (format, read) => {
    const pairs = ADDRESSES.map((name, i) => [name, TEXTS[i] ?? ""] as const);
    const taken = takeAway(
      pairs.map(([name, text]) => rowOf(name, text)),
      format as Format,
    );
    expect(read(taken)).toEqual(pairs);
  });

  test.each(Object.entries(readers))("%s, of a text that was pasted in lines on one line", (format, read) => {
    const pasted = rowOf("photo.jpg", "A dog\r\n  on the beach,\n\nrunning\n");
    expect(read(takeAway([pasted], format as Format))).toEqual([
      ["photo.jpg", "A dog on the beach, running"],
    ]);
  });
});
