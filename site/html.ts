/** Finds `<img>` without `alt` in HTML. `alt=""` says that a picture is decorative, and so do a role and `aria-hidden`. */

import { type DefaultTreeAdapterTypes, parse } from "parse5";
import type { Gap } from "./gap.ts";

const TAG_CHARACTERS = "<img".length;

/** Gaps of a document or a part of one, in their order. */
export function gapsInHtml(html: string): Gap[] {
  const gaps: Gap[] = [];
  // Where scripts run, what `<noscript>` holds is text; readers without them see its pictures.
  const document = parse(html, { sourceCodeLocationInfo: true, scriptingEnabled: false });
  visit(document, html, gaps);
  return gaps;
}

function visit(node: DefaultTreeAdapterTypes.Node, html: string, gaps: Gap[]): void {
  if ("tagName" in node && node.tagName === "img") {
    const gap = gapOf(node, html);
    if (gap !== undefined) gaps.push(gap);
  }
  if ("content" in node) visit(node.content, html, gaps);
  if ("childNodes" in node) for (const child of node.childNodes) visit(child, html, gaps);
}

function gapOf(image: DefaultTreeAdapterTypes.Element, html: string): Gap | undefined {
  const attributes = new Map(image.attrs.map(({ name, value }) => [name, value]));
  const isDecorative =
    /^(presentation|none)$/i.test(attributes.get("role")?.trim() ?? "") ||
    attributes.get("aria-hidden") === "true";
  const source = attributes.get("src")?.trim();
  const start = image.sourceCodeLocation?.startOffset;
  if (attributes.has("alt") || isDecorative || !source || start === undefined) return undefined;
  // `<image>` is an `<img>` to the parser as well, and some elements are made up by it.
  if (!/^<img[\s/]/i.test(html.slice(start, start + TAG_CHARACTERS + 1))) return undefined;
  return { source, at: start + TAG_CHARACTERS, insertion: (alt) => ` alt="${escaped(alt)}"` };
}

const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
