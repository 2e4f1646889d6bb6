/** The part of a documentation page that `npm run docs:write` writes, between a comment that names it and the next end comment. */

const END = "<!-- end -->";

/** `page` with `text` as its part of this name. @throws if the page has no place for it */
export function withPart(page: string, name: string, text: string): string {
  const begin = `<!-- ${name}: npm run docs:write -->`;
  const from = page.indexOf(begin);
  const to = page.indexOf(END, from);
  if (from === -1 || to === -1) throw new Error(`The page has no place for the ${name}.`);
  return `${page.slice(0, from)}${begin}\n${text}\n${page.slice(to)}`;
}
