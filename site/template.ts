/** What a site's generator reads of a page and no reader sees: front matter, and HTML in the strings of a template. */

/** YAML, which may end with dots, or TOML at the top. A page may also begin with a line across it. */
const FRONT_MATTER =
  /^\uFEFF?(?:---[ \t]*\r?\n(?=\s*(?:[\p{L}\p{M}\p{N}_"'-][^\r\n]*:|#|---)).*?\r?\n(?:---|\.\.\.)|\+\+\+[ \t]*\r?\n.*?\r?\n\+\+\+)[ \t]*(?=\r?\n|$)/su;

/** Of Liquid, Jinja, Handlebars, Hugo and their like, and of ERB and EJS. */
const TEMPLATE_CODE = /\{\{[^{}]*\}\}|\{%(?:[^{%]|\{(?!%)|%(?!\}))*%\}|<%(?:[^<%]|<(?!%)|%(?!>))*%>/g;

/**
 * The page with blanks in their place: every character of the rest stays where it is. Other code has braces for its angle
 * brackets, as one of them would end the tag that the code is in.
 */
export function withoutTemplateCode(page: string): string {
  const blank = (found: string) => found.replaceAll(/[^\r\n]/g, " ");
  return page.replace(FRONT_MATTER, blank).replaceAll(TEMPLATE_CODE, (code) =>
    /<img|!\[/i.test(code)
      ? blank(code)
      : code
          .replace(/^<%[=-]/, "{{ ")
          .replaceAll("<", "{")
          .replaceAll(">", "}"),
  );
}

/** Whether a template gives an `alt` to the tag that has these attributes, or attributes that are not known here. */
export function mayGetAlt(attributeNames: Iterable<string>): boolean {
  // `{% if x %}alt=...` is read as an attribute `%}alt`, and `{{ attributes }}` as three; Vue's is `:alt`, Angular's `[alt]`.
  return [...attributeNames].some((name) => /[}:.[]alt\]?$|^\{\{(?![#/^!])/.test(name));
}
