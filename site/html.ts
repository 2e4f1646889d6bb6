/** Finds `<img>` without `alt` in HTML. `alt=""` says that a picture is decorative, and so do a role and `aria-hidden`. */

import { type DefaultTreeAdapterTypes, parse } from "parse5";
import type { Gap } from "./gap.ts";
import { mayGetAlt, withoutTemplateCode } from "./template.ts";

const TAG_CHARACTERS = "<img".length;

/** Gaps of a document or a part of one, in their order. */
export function gapsInHtml(html: string): Gap[] {
  // Where scripts run, what `<noscript>` holds is text; readers without them see its pictures.
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

/** What XML closes at once, but for what is looked for. To HTML such an element is open still, some to the end of the page. */
const CLOSED_AT_ONCE = /<(?!(?:img|base)\b)[a-z][^<>]*\/>/gi;

/** The same of XHTML. */
export function gapsInXhtml(xhtml: string): Gap[] {
  return gapsInHtml(xhtml.replaceAll(CLOSED_AT_ONCE, (element) => " ".repeat(element.length)));
}

/** In the order of the document. With a stack of its own: pages may be nested deeper than calls can be. */
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
  // `<image>` is an `<img>` to the parser as well, and some elements are made up by it.
  if (start === undefined || !/^<img[\s/]/i.test(html.slice(start, start + TAG_CHARACTERS + 1)))
    return undefined;
  const attributes = attributesOf(image);
  return mayGetAlt(attributes.keys()) ? undefined : gapInTag(attributes, start);
}

/** Of an `<img` that starts there. */
export function gapInTag(attributes: ReadonlyMap<string, string>, start: number): Gap | undefined {
  const isDecorative =
    /^(presentation|none)$/i.test(attributes.get("role")?.trim() ?? "") ||
    attributes.get("aria-hidden") === "true";
  const source = addressOf(attributes);
  if (attributes.has("alt") || isDecorative || !source) return undefined;
  return { source, at: start + TAG_CHARACTERS, insertion: (alt) => ` alt="${escaped(alt)}"` };
}

/** `src`, or what stands in for it: `data-src` where a script loads the picture when it comes into view, or the first of `srcset`. */
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
      // Tried at the first comma of each run alone: at every one, a run of a million would take minutes.
      .replace(/(?<!,),+$/, "")
  );
}

/** Braces too: what a text has of template code would be run by the site's generator. */
const escaped = (text: string) =>
  text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;").replaceAll("{", "&#123;");
