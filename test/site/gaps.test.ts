import { fromMarkdown } from "mdast-util-from-markdown";
import { mdxFromMarkdown } from "mdast-util-mdx";
import { mdxjs } from "micromark-extension-mdxjs";
import { parseFragment } from "parse5";
import { describe, expect, test } from "vitest";
import { fill, type Gap } from "../../site/gap.ts";
import { gapsInHtml, gapsInXhtml } from "../../site/html.ts";
import { gapsInMarkdown } from "../../site/markdown.ts";
import { gapsInMdx } from "../../site/mdx.ts";

const filledBy = (find: (text: string) => Gap[]) => (page: string) =>
  fill(
    page,
    find(page).map((gap) => ({ gap, alt: `of ${gap.source}` })),
  );
const html = filledBy(gapsInHtml);
const markdown = filledBy(gapsInMarkdown);
const mdx = filledBy(gapsInMdx);

test.each([
  ["<img src=a.jpg>", '<img alt="of a.jpg" src=a.jpg>'],
  ["<IMG\n  SRC='a.jpg' />", "<IMG alt=\"of a.jpg\"\n  SRC='a.jpg' />"],
  [
    "\uFEFF<p>\r\n<img src=a>\r\n<img src=b></p>",
    '\uFEFF<p>\r\n<img alt="of a" src=a>\r\n<img alt="of b" src=b></p>',
  ],
  ["<p>ü🙂<img src=a>", '<p>ü🙂<img alt="of a" src=a>'],
  ["<noscript><img src=a></noscript>", '<noscript><img alt="of a" src=a></noscript>'],
  ["<template><img src=a></template>", '<template><img alt="of a" src=a></template>'],
  [
    "<picture><source srcset=b><img src=a></picture>",
    '<picture><source srcset=b><img alt="of a" src=a></picture>',
  ],
  ["<img srcset=', a 1x, b 2x'>", "<img alt=\"of a\" srcset=', a 1x, b 2x'>"],
  ["<img src=a aria-hidden=false>", '<img alt="of a" src=a aria-hidden=false>'],
  ["<img src=a data-src=b>", '<img alt="of a" src=a data-src=b>'],
  ["<img data-src=a>", '<img alt="of a" data-src=a>'],
  ["<img src='data:x' data-src=a>", "<img alt=\"of a\" src='data:x' data-src=a>"],
  ["<table><img src=a><tr><td>x</table>", '<table><img alt="of a" src=a><tr><td>x</table>'],
  // What stands between cells is parsed as if it stood in front of the table.
  [
    "<table><tr><td><img src=a></td></tr><img src=b></table>",
    '<table><tr><td><img alt="of a" src=a></td></tr><img alt="of b" src=b></table>',
  ],
  ["<img src=a :data-alt=x data-alt=x>", '<img alt="of a" src=a :data-alt=x data-alt=x>'],
  ["{% if x %}<img src=a>{% endif %}", '{% if x %}<img alt="of a" src=a>{% endif %}'],
  ["{{#x}}<img src=a {{#y}}class=b{{/y}}>{{/x}}", '{{#x}}<img alt="of a" src=a {{#y}}class=b{{/y}}>{{/x}}'],
  ["---\nx: 1\n---\n<img src=a>\n---\n", '---\nx: 1\n---\n<img alt="of a" src=a>\n---\n'],
])("in %j a text is put in, and every other byte stays", (page, expected) => {
  expect(html(page)).toBe(expected);
});

test("of several bases, and of several definitions of a name, the first counts", () => {
  expect(gapsInHtml("<base href=/one/><base href=/two/><img src=a>")).toMatchObject([{ base: "/one/" }]);
  expect(gapsInMarkdown("![][x]\n\n[x]: one.jpg\n[x]: two.jpg\n")).toMatchObject([{ source: "one.jpg" }]);
});

test.each([
  ['<img src=a alt="">'],
  ["<img src=a alt>"],
  ['<img src=a alt="My cat">'],
  ["<img src=a role=presentation>"],
  ["<img src=a aria-hidden=true>"],
  ["<img>"],
  ["<image src=a>"],
  ["<!-- <img src=a> -->"],
  ["<script>x = '<img src=a>'</script>"],
  ["<pre>&lt;img src=a&gt;</pre>"],
  // Of generators: a quoted text would break what they read, and a second `alt` hides the one that they write.
  ["---\nintro: \"<img src='a'>\"\n---\n<p>"],
  ["+++\r\nintro = \"<img src='a'>\"\r\n+++"],
  ["{{ \"<img src='a'>\" | safe }}"],
  ["{% set x = \"100% <img src='a'>\" %}"],
  ["<%= \"<img src='a'>\" %>"],
  ["{% set x = \"<img src='a'>\" %}"],
  ['<img src=a {% if x %}alt="{{ x }}"{% endif %}>'],
  ['<img src=a {{#x}}alt="{{ x }}"{{/x}}>'],
  ['<img src=a {% if x > 1 %}alt="{{ x }}"{% endif %}>'],
  ['<img src=a <% if (x > 1) { %>alt="<%= x %>"<% } %>>'],
  ["<img src=a {{ attributes }}>"],
  ["<img src=a <%= attributes %>><img src=a <%- attributes %>>"],
  ["<img src=a :alt=x><img src=a v-bind:alt=x><img src=a [alt]=x><img src=a [attr.alt]=x>"],
])("%s stays", (page) => {
  expect(html(page)).toBe(page);
});

test.each([
  ["![](a.jpg)", "![of a.jpg](a.jpg)"],
  ["> - x ![](<a b.jpg> 'title')", "> - x ![of a b.jpg](<a b.jpg> 'title')"],
  ["![][cat]\n\n[cat]: cat.jpg", "![of cat.jpg][cat]\n\n[cat]: cat.jpg"],
  ["[![](a.jpg)](b.html)", "[![of a.jpg](a.jpg)](b.html)"],
  ["x[^1]\n\n[^1]: ![](a)\n\n    ![](b)", "x[^1]\n\n[^1]: ![of a](a)\n\n    ![of b](b)"],
  ["text <img src=a> text", 'text <img alt="of a" src=a> text'],
  ["- x\n\n  <p>\n  <img src=a>\n  </p>", '- x\n\n  <p>\n  <img alt="of a" src=a>\n  </p>'],
  ["> <p>\n> <img\n>  src=a>\n> </p>", '> <p>\n> <img alt="of a"\n>  src=a>\n> </p>'],
  ["1. text <img\n   src=a>", '1. text <img alt="of a"\n   src=a>'],
  ["---\ntitle: x\n---\n\n![](a)\r\n", "---\ntitle: x\n---\n\n![of a](a)\r\n"],
  ["\uFEFF![](a) ![](b)\n\n<img src=c>", '\uFEFF![of a](a) ![of b](b)\n\n<img alt="of c" src=c>'],
  ["---\nx: 1\n...\n![](a)\n", "---\nx: 1\n...\n![of a](a)\n"],
  ["---\n\nA line ![](a)\n\n---\n", "---\n\nA line ![of a](a)\n\n---\n"],
  ["{% if x %}![](a){% endif %}", "{% if x %}![of a](a){% endif %}"],
  [
    "![]({{ site.url }}{{ site.baseurl }}/a) ![]({{ '/b' | relative_url }} \"x\")",
    "![of &#123;&#123; site.url }}&#123;&#123; site.baseurl }}/a]({{ site.url }}{{ site.baseurl }}/a) ![of &#123;&#123; '/b' &#124; relative\\_url }}]({{ '/b' | relative_url }} \"x\")",
  ],
])("in the Markdown %j a text is put in", (page, expected) => {
  expect(markdown(page)).toBe(expected);
});

test.each([
  ["![A cat](a.jpg)"],
  ["`![](a.jpg)`"],
  ["```\n![](a.jpg)\n```"],
  ["\\![](a.jpg)"],
  ["![][unknown]"],
  ['> <p><img src=a\n> alt="My cat"></p>'],
  ["\uFEFF---\r\ncover: ![](a.jpg)\r\nintro: \"<img src='a'>\"\r\n---\r\n"],
  ['---\n# c\nx: "![](a)"\n---'],
  ['---\n標題: "![](a)"\n---'],
  ["---\nx: \"<img src='a'>\"\n...\n"],
  ["{{ \"![](a) <img src='a'>\" | markdownify }}"],
])("the Markdown %j stays", (page) => {
  expect(markdown(page)).toBe(page);
});

test.each([
  ["![](a.jpg)", "![of a.jpg](a.jpg)"],
  ["<img src='a' />", "<img alt=\"of a\" src='a' />"],
  [
    '---\ntitle: x\n---\nimport X from "x"\n\n<X>\n  text <img\n    src="a"\n  />\n\n  ![](b)\n</X>\n',
    '---\ntitle: x\n---\nimport X from "x"\n\n<X>\n  text <img alt="of a"\n    src="a"\n  />\n\n  ![of b](b)\n</X>\n',
  ],
  ["    ![](a)", "    ![of a](a)"],
  ["x[^1]\n\n[^1]: ![](a)", "x[^1]\n\n[^1]: ![of a](a)"],
  ["\uFEFF# ü\n\n![](a)", "\uFEFF# ü\n\n![of a](a)"],
  [
    "<p style={{ color: 'red' }}>{x}<img src='a' className={x} /></p>",
    "<p style={{ color: 'red' }}>{x}<img alt=\"of a\" src='a' className={x} /></p>",
  ],
])("in the MDX %j a text is put in", (page, expected) => {
  expect(mdx(page)).toBe(expected);
});

test.each([
  ["<img src='a' alt='' /> <img src='a' alt={x} /> <img src='a' {...x} />"],
  ["<img src='a' aria-hidden /> <img src='a' aria-hidden={true} /> <img src='a' role='none' />"],
  ["<img src={x} /> <Image src='a' />"],
  ["{/* ![](a) */} {x && <img src='a' />}"],
  ["export const x = <img src='a' />"],
  ["`![](a)`"],
])("the MDX %j stays", (page) => {
  expect(mdx(page)).toBe(page);
});

test("a page that is not MDX is refused, with the line", () => {
  expect(() => gapsInMdx("x\n\n<img src='a'>\n")).toThrow(
    "It is not valid MDX: Expected a closing tag for `<img>` (3:1-3:14).",
  );
  expect(() => gapsInMdx("x\n\n{x")).toThrow(/^It is not valid MDX: line 3: /);
});

const fromMdx = (page: string) =>
  fromMarkdown(page, { extensions: [mdxjs()], mdastExtensions: [mdxFromMarkdown()] });

describe("a text is escaped for its place, and a second look finds nothing", () => {
  const ALT = 'A "sign" <b> & &amp; [x] \\ | `y` *z* _z_ ~~z~~ $1 {{ x }} {% y %} {# z #}';
  const put = (page: string, find: (text: string) => Gap[]) => {
    const filled = fill(
      page,
      find(page).map((gap) => ({ gap, alt: ALT })),
    );
    expect(find(filled)).toEqual([]);
    return filled;
  };

  test("in HTML", () => {
    expect(put("<img src=a>", gapsInHtml)).toBe(
      '<img alt="A &quot;sign&quot; &lt;b> &amp; &amp;amp; [x] \\ | `y` *z* _z_ ~~z~~ $1 &#123;&#123; x }} &#123;% y %} &#123;# z #}" src=a>',
    );
  });

  test("in Markdown", () => {
    expect(put("![](a)", gapsInMarkdown)).toBe(
      '![A "sign" &#60;b> & &#38;amp; \\[x\\] \\\\ &#124; &#96;y&#96; \\*z\\* \\_z\\_ &#126;&#126;z&#126;&#126; &#36;1 &#123;&#123; x }} &#123;% y %} &#123;# z #}](a)',
    );
    expect(fromMarkdown(put("![](a)", gapsInMarkdown))).toMatchObject({
      children: [{ children: [{ type: "image", alt: ALT }] }],
    });
  });

  test("in MDX", () => {
    expect(fromMdx(put("![](a)", gapsInMdx))).toMatchObject({
      children: [{ children: [{ type: "image", alt: ALT }] }],
    });
    expect(fromMdx(put("<img src='a' />", gapsInMdx))).toMatchObject({
      children: [{ attributes: [{ name: "alt", value: ALT }, {}] }],
    });
  });

  test.each([
    ["HTML", "<img src=a>", gapsInHtml],
    ["Markdown", "![](a)", gapsInMarkdown],
    ["the HTML of Markdown", "x <img src=a>", gapsInMarkdown],
    ["MDX", "![](a) <img src='a' />", gapsInMdx],
  ])("in %s no template code begins in it, which a site's generator would run", (_name, page, find) => {
    expect(put(page, find)).not.toMatch(/\{[{%#]|<[%?]/);
  });

  test("in the HTML of Markdown, which may lie in a table", () => {
    const filled = put("| <img src=a> |", gapsInMarkdown);
    expect(filled.match(/[|`]/g)).toEqual(["|", "|"]);
    expect(parseFragment(filled)).toMatchObject({
      childNodes: [{}, { attrs: [{ name: "alt", value: ALT }, {}] }, {}],
    });
  });
});

test("an element that XHTML closes at once ends there, not at an end tag that never comes", () => {
  const page = '<html><head><title/><script src="a.js"/></head><body><p>ü<img src="a"/></p></body></html>';
  expect(filledBy(gapsInXhtml)(page)).toBe(page.replace("<img", '<img alt="of a"'));
});

test("an element that XHTML closes at once does not stay open, which would repeat it in every later paragraph", () => {
  const paragraphs = Array.from({ length: 5_000 }, (_, i) => `<p><i id="p${i}"/>x</p>`).join("");
  expect(gapsInXhtml(`<html><body>${paragraphs}<img src="a"/></body></html>`)).toMatchObject([
    { source: "a" },
  ]);
});

test("a page nested deeper than calls can be is read to its end", () => {
  expect(gapsInHtml(`${"<div>".repeat(20_000)}<img src=a>`)).toMatchObject([{ source: "a" }]);
});

test("an endless row of commas in a srcset is read once, not again from each comma", () => {
  const address = `a${",".repeat(1_000_000)}b`;
  expect(gapsInHtml(`<img srcset="${address},, c 2x">`)).toMatchObject([{ source: address }]);
});
