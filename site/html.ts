/** Finds `<img>` without `alt` in HTML. Pictures are decorative with `alt=""`, a role that says so, or `aria-hidden`. */

import { type DefaultTreeAdapterTypes, parse } from "parse5";
import type { Gap } from "./gap.ts";
import { mayGetAlt, withoutTemplateCode } from "./template.ts";

const TAG_CHARACTERS = "<img".length;

/** Gaps of a document or a part of one, in their order. */
export function gapsInHtml(html: string): Gap[] {
  // With scripting, the content of `<noscript>` would be text; readers without scripts see its pictures.
  const document = parse(withoutTemplateCode(html), {
    sourceCodeLocationInfo: true,
    scriptingEnabled: false,
  });
  const gaps: Gap[] = [];
  let base: string | undefined;
  for (const element of elementsOf(document)) {
    if (element.tagName === "base") base ??= attributesOf(element).get("href")?.trim();
    const gap = element.tagName === "img" ? gapOf(element, html) : undefined;
    if (gap !== undefined) gaps.push(gap);
  }
  return base === undefined ? gaps : gaps.map((gap) => ({ ...gap, base }));
}

/**
 * Elements that XML closes at once, except those that are looked for. HTML takes such an element as still open, in some
 * cases until the end of the page.
 */
const CLOSED_AT_ONCE = /<(?!(?:img|base)\b)[a-z][^<>]*\/>/gi;

/** Gaps of an XHTML document, in their order. */
export function gapsInXhtml(xhtml: string): Gap[] {
  return gapsInHtml(xhtml.replaceAll(CLOSED_AT_ONCE, (element) => " ".repeat(element.length)));
}

/** Elements in document order. It has a stack of its own, because pages may be nested deeper than calls can be. */
function* elementsOf(document: DefaultTreeAdapterTypes.Node): Generator<DefaultTreeAdapterTypes.Element> {
  const ahead = [document];
  for (let node = ahead.pop(); node !== undefined; node = ahead.pop()) {
    if ("tagName" in node) yield node;
    if ("childNodes" in node) for (const child of node.childNodes.toReversed()) ahead.push(child);
    if ("content" in node) ahead.push(node.content);
  }
}

const attributesOf = (element: DefaultTreeAdapterTypes.Element): ReadonlyMap<string, string> =>
  new Map(element.attrs.map(({ name, value }) => [name, value]));

function gapOf(image: DefaultTreeAdapterTypes.Element, html: string): Gap | undefined {
  const start = image.sourceCodeLocation?.startOffset;
  // The parser also reads `<image>` as `<img>`, and adds some elements that the page does not contain.
  if (start === undefined || !/^<img[\s/]/i.test(html.slice(start, start + TAG_CHARACTERS + 1)))
    return undefined;
  const attributes = attributesOf(image);
  return mayGetAlt(attributes.keys()) ? undefined : gapInTag(attributes, start);
}

/** The gap of an `<img` that starts at `start`; undefined if it needs no text. */
export function gapInTag(attributes: ReadonlyMap<string, string>, start: number): Gap | undefined {
  const isDecorative =
    /^(presentation|none)$/i.test(attributes.get("role")?.trim() ?? "") ||
    attributes.get("aria-hidden") === "true";
  const source = addressOf(attributes);
  if (attributes.has("alt") || isDecorative || !source) return undefined;
  return { source, at: start + TAG_CHARACTERS, insertion: (alt) => ` alt="${escaped(alt)}"` };
}

/**
 * `src`, or what stands in for it: `data-src`, if a script loads the picture when it comes into view, or the first address
 * of `srcset`.
 */
function addressOf(attributes: ReadonlyMap<string, string>): string | undefined {
  const source = attributes.get("src")?.trim();
  const isPlaceholder = !source || /^data:/i.test(source);
  const later = isPlaceholder && attributes.get("data-src")?.trim();
  return (
    later ||
    source ||
    attributes
      .get("srcset")
      ?.match(/[^\s,]\S*/)?.[0]
      // The pattern is tried only at the first comma of each run: tried at every comma, a run of a million would take
      // minutes.
      .replace(/(?<!,),+$/, "")
  );
}

/** Escapes braces too, because the site's generator would run template code in a text. */
const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;").replaceAll("{", "&#123;");
