/** Finds pictures without text in MDX: those of its Markdown, and `<img>` in its JSX. https://mdxjs.com/docs/what-is-mdx/ */

import type { Nodes } from "mdast";
import { fromMarkdown } from "mdast-util-from-markdown";
import { gfmFootnoteFromMarkdown } from "mdast-util-gfm-footnote";
import {
  type MdxJsxAttribute,
  type MdxJsxFlowElement,
  type MdxJsxTextElement,
  mdxFromMarkdown,
} from "mdast-util-mdx";
import { gfmFootnote } from "micromark-extension-gfm-footnote";
import { mdxjs } from "micromark-extension-mdxjs";
import { VFileMessage } from "vfile-message";
import { type Gap, PageError } from "./gap.ts";
import { gapInTag } from "./html.ts";
import { behindMark, gapsInTree } from "./markdown.ts";
import { withoutFrontMatter } from "./template.ts";

/**
 * Gaps of a page, in their order. Braces hold program code, which is not searched.
 * @throws PageError if it is not MDX
 */
export function gapsInMdx(page: string): Gap[] {
  return behindMark(page, (text) => {
    const mdx = withoutFrontMatter(text);
    return gapsInTree(parsed(mdx), mdx, (node, start) => {
      const gap = isImg(node) ? gapOfImg(node, start) : undefined;
      return gap === undefined ? [] : [gap];
    });
  });
}

function parsed(mdx: string): Nodes {
  try {
    return fromMarkdown(mdx, {
      extensions: [mdxjs(), gfmFootnote()],
      mdastExtensions: [mdxFromMarkdown(), gfmFootnoteFromMarkdown()],
    });
  } catch (error) {
    if (!(error instanceof VFileMessage)) throw error;
    const place = error.place && ("start" in error.place ? error.place.start : error.place);
    const where = place === undefined ? "" : `line ${place.line}: `;
    throw new PageError(`It is not valid MDX: ${where}${error.reason}.`, { cause: error });
  }
}

type JsxElement = MdxJsxFlowElement | MdxJsxTextElement;

/** Only `<img>`, because nothing here knows how a site's own components take their texts. */
const isImg = (node: Nodes): node is JsxElement =>
  (node.type === "mdxJsxFlowElement" || node.type === "mdxJsxTextElement") && node.name === "img";

function gapOfImg({ attributes }: JsxElement, start: number): Gap | undefined {
  const known = new Map<string, string>();
  for (const attribute of attributes) {
    // `{...props}` may hold an `alt`.
    if (attribute.type === "mdxJsxExpressionAttribute") return undefined;
    known.set(attribute.name, textOf(attribute));
  }
  return gapInTag(known, start);
}

/** The text of an attribute: empty for a program's expression, except `{true}`, which an attribute without a value also means. */
function textOf({ value }: MdxJsxAttribute): string {
  if (typeof value === "string") return value;
  return value == null || value.value.trim() === "true" ? "true" : "";
}
