/** Finds pictures without text in CommonMark: `![](photo.jpg)`, `![][photo]`, and `<img>` in its HTML. */

import type { Definition, Nodes } from "mdast";
import { fromMarkdown } from "mdast-util-from-markdown";
import type { Gap } from "./gap.ts";
import { gapsInHtml } from "./html.ts";

const MARK_CHARACTERS = "![".length;

/** Gaps of a page, in their order. */
export function gapsInMarkdown(markdown: string): Gap[] {
  const tree = fromMarkdown(markdown);
  const definitions = new Map<string, string>();
  walk(tree, (node) => {
    if (node.type === "definition") noteDefinition(definitions, node);
  });
  const gaps: Gap[] = [];
  walk(tree, (node) => {
    const [start, end] = [node.position?.start.offset, node.position?.end.offset];
    if (start === undefined || end === undefined) return;
    if (node.type === "html") {
      // In quotes and lists the HTML of several lines does not stand in the page as one piece.
      if (markdown.slice(start, end) !== node.value) return;
      for (const gap of gapsInHtml(node.value)) gaps.push({ ...gap, at: start + gap.at });
    }
    if ((node.type !== "image" && node.type !== "imageReference") || (node.alt ?? "").trim() !== "") return;
    const source = node.type === "image" ? node.url : definitions.get(node.identifier);
    if (!source || !/^!\[\s*\]/.test(markdown.slice(start, end))) return;
    gaps.push({
      source,
      at: start + MARK_CHARACTERS,
      insertion: (alt) => alt.replaceAll(/[\\[\]]/g, "\\$&"),
    });
  });
  return gaps;
}

/** The first definition of a name counts. https://spec.commonmark.org/0.31.2/#matches */
function noteDefinition(definitions: Map<string, string>, { identifier, url }: Definition): void {
  if (!definitions.has(identifier)) definitions.set(identifier, url);
}

function walk(node: Nodes, enter: (node: Nodes) => void): void {
  enter(node);
  if ("children" in node) for (const child of node.children) walk(child, enter);
}
