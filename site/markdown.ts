/**
 * Finds pictures without text in CommonMark: `![](photo.jpg)`, `![][photo]`, and `<img>` in its HTML. Footnotes are
 * searched too, as GitHub and most generators have them; to plain CommonMark `[^1]: ![](photo.jpg)` is a definition.
 */

import type { Definition, Nodes } from "mdast";
import { fromMarkdown } from "mdast-util-from-markdown";
import { gfmFootnoteFromMarkdown } from "mdast-util-gfm-footnote";
import { gfmFootnote } from "micromark-extension-gfm-footnote";
import type { Gap } from "./gap.ts";
import { gapsInHtml } from "./html.ts";
import { withoutTemplateCode } from "./template.ts";

const FOOTNOTES = { extensions: [gfmFootnote()], mdastExtensions: [gfmFootnoteFromMarkdown()] };

const MARK_CHARACTERS = "![".length;
const BYTE_ORDER_MARK = "\uFEFF";
/** Template code. It is gone before the generator reads Markdown, so a blank in it does not end an address. */
const OUTPUT = /\{\{[^{}\r\n]*\}\}/g;
/** Stands in for such a blank; from Unicode's private use area. */
const BLANK = "\uE000";

/** Gaps of a page, in their order. */
export function gapsInMarkdown(page: string): Gap[] {
  return behindMark(page, (text) => {
    const code = withoutTemplateCode(text);
    const markdown = code.replaceAll(OUTPUT, (output) => output.replaceAll(" ", BLANK));
    const gaps = gapsInTree(fromMarkdown(markdown, FOOTNOTES), markdown, (node, start, end, quotes) => {
      if (node.type !== "html") return [];
      const html = withoutQuoteMarks(code.slice(start, end), quotes);
      return gapsInHtml(html).map((gap) => ({ ...gap, at: start + gap.at }));
    });
    return gaps.map((gap) => ({ ...gap, source: gap.source.replaceAll(BLANK, " ") }));
  });
}

/** The parser skips a byte order mark, and counts positions from behind it. */
export function behindMark(page: string, gapsIn: (text: string) => Gap[]): Gap[] {
  if (!page.startsWith(BYTE_ORDER_MARK)) return gapsIn(page);
  return gapsIn(page.slice(1)).map((gap) => ({ ...gap, at: gap.at + 1 }));
}

/**
 * Gaps of a parsed page. `gapsInTag` finds those in a node that is not Markdown, from its start to its end; their texts are
 * escaped for HTML.
 */
export function gapsInTree(
  tree: Nodes,
  markdown: string,
  gapsInTag: (node: Nodes, start: number, end: number, quotes: number) => Gap[],
): Gap[] {
  const definitions = new Map<string, string>();
  walk(tree, (node) => {
    if (node.type === "definition") noteDefinition(definitions, node);
  });
  const gaps: Gap[] = [];
  walk(tree, (node, quotes) => {
    const [start, end] = [node.position?.start.offset, node.position?.end.offset];
    if (start === undefined || end === undefined) return;
    for (const gap of gapsInTag(node, start, end, quotes)) {
      gaps.push({ ...gap, insertion: (alt) => inHtml(gap.insertion(alt)) });
    }
    if ((node.type !== "image" && node.type !== "imageReference") || (node.alt ?? "").trim() !== "") return;
    const source = node.type === "image" ? node.url : definitions.get(node.identifier);
    if (!source || !/^!\[\s*\]/.test(markdown.slice(start, end))) return;
    gaps.push({ source, at: start + MARK_CHARACTERS, insertion: escaped });
  });
  return gaps;
}

/**
 * Writes the other signs as character references, because not every Markdown takes a backslash before them. Nor does a
 * backslash keep a grave accent from ending code, or a brace from beginning template code.
 */
const escaped = (text: string) =>
  text.replaceAll(/[\\[\]*_]/g, "\\$&").replaceAll(/[`<|~${]|&(?=[#\w])/g, reference);

/** In HTML, too, a bar may separate the cells of a table, and a grave accent may end code. */
const inHtml = (html: string) => html.replaceAll(/[|`]/g, reference);

const reference = (character: string) => `&#${character.charCodeAt(0)};`;

/** The first definition of a name counts. https://spec.commonmark.org/0.31.2/#matches */
function noteDefinition(definitions: Map<string, string>, { identifier, url }: Definition): void {
  if (!definitions.has(identifier)) definitions.set(identifier, url);
}

/**
 * Lines of HTML inside `quotes` block quotes begin with that many marks. Blanks replace them, so that every character stays
 * where it is.
 */
function withoutQuoteMarks(html: string, quotes: number): string {
  if (quotes === 0) return html;
  const marks = new RegExp(`\\n(?:[ \\t]*>){1,${quotes}}`, "g");
  return html.replaceAll(marks, (found) => found.replaceAll(">", " "));
}

/**
 * Visits nodes in page order, each with the number of block quotes around it. It has a stack of its own, because pages may
 * be nested deeper than calls can be.
 */
function walk(tree: Nodes, enter: (node: Nodes, quotes: number) => void): void {
  const ahead = [{ node: tree, quotes: 0 }];
  for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
    const { node } = next;
    enter(node, next.quotes);
    if (!("children" in node)) continue;
    const quotes = next.quotes + (node.type === "blockquote" ? 1 : 0);
    for (const child of node.children.toReversed()) ahead.push({ node: child, quotes });
  }
}
