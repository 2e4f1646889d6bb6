/** What a site's generator reads in a page and no reader sees: front matter, and HTML in the strings of a template. */

/** YAML, which may end with dots, or TOML at the top. A page may also begin with a horizontal rule. */
const FRONT_MATTER =
  /^\uFEFF?(?:---[ \t]*\r?\n(?=\s*(?:[\p{L}\p{M}\p{N}_"'-][^\r\n]*:|#|---)).*?\r?\n(?:---|\.\.\.)|\+\+\+[ \t]*\r?\n.*?\r?\n\+\+\+)[ \t]*(?=\r?\n|$)/su;

/** Template code of Liquid, Jinja, Handlebars, Hugo and the like, and of ERB and EJS. */
const TEMPLATE_CODE = /\{\{[^{}]*\}\}|\{%(?:[^{%]|\{(?!%)|%(?!\}))*%\}|<%(?:[^<%]|<(?!%)|%(?!>))*%>/g;

const blank = (found: string) => found.replaceAll(/[^\r\n]/g, " ");

/** The page with blanks in place of front matter, so that every other character stays where it is. */
export const withoutFrontMatter = (page: string): string => page.replace(FRONT_MATTER, blank);

/**
 * The page with blanks in place of front matter and of code that holds pictures. Other code gets braces for its angle
 * brackets, because one of those would end the tag that the code is in.
 */
export function withoutTemplateCode(page: string): string {
  return withoutFrontMatter(page).replaceAll(TEMPLATE_CODE, (code) =>
    /<img|!\[/i.test(code)
      ? blank(code)
      : code
          .replace(/^<%[=-]/, "{{ ")
          .replaceAll("<", "{")
          .replaceAll(">", "}"),
  );
}

/** Jekyll's code for the address of the site, in front of one of its paths. */
const SITE_ADDRESS = /^(?:\{\{-?\s*site\.(?:url|baseurl)\s*-?\}\})+(?=\/)/;
/** Code of Jekyll, Hugo and Eleventy: a path with a filter that puts the address of the site in front of it. */
const FILTERED_PATH =
  /^\{\{-?\s*(["'])([^"'{}|]+)\1\s*\|\s*(?:relative_url|absolute_url|relURL|absURL|url|prepend:\s*site\.baseurl)\s*-?\}\}$/;

/** The address that the site's own template code stands for. Undefined if only its generator knows. */
export function withoutSiteAddress(address: string): string | undefined {
  const path = FILTERED_PATH.exec(address)?.[2] ?? address.replace(SITE_ADDRESS, "");
  return /\{[{%]/.test(path) ? undefined : path;
}

/** Whether a template gives an `alt` to the tag that has these attributes, or attributes that are not known here. */
export function mayGetAlt(attributeNames: Iterable<string>): boolean {
  // `{% if x %}alt=...` is read as an attribute `%}alt`, and `{{ attributes }}` as three; Vue's is `:alt`, Angular's `[alt]`.
  return [...attributeNames].some((name) => /[}:.[]alt\]?$|^\{\{(?![#/^!])/.test(name));
}
