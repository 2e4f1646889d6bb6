/** A place in a page where a picture's text is missing. Positions count UTF-16 units of the page's text. */

export interface Gap {
  /** The picture's address as the page has it. */
  readonly source: string;
  /** The address that the page's `<base>` makes others relative to, if the page has one. */
  readonly base?: string;
  /** Where the text goes in. */
  readonly at: number;
  /** What is inserted for this text, escaped for its place. */
  readonly insertion: (alt: string) => string;
}

/** A page that cannot be read; the message says why. */
export class PageError extends Error {
  override readonly name = "PageError";
}

/** The page with texts put into its gaps; everything else stays as it is. */
export function fill(page: string, filled: readonly { readonly gap: Gap; readonly alt: string }[]): string {
  let result = "";
  let from = 0;
  for (const { gap, alt } of [...filled].sort((a, b) => a.gap.at - b.gap.at)) {
    result += page.slice(from, gap.at) + gap.insertion(alt);
    from = gap.at;
  }
  return result + page.slice(from);
}
