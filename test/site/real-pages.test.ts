/** Pages that people wrote, as they lie in the packages installed here: a text goes into each gap, and every other byte stays. */

import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { fill, type Gap } from "../../site/gap.ts";
import { gapsInHtml } from "../../site/html.ts";
import { gapsInMarkdown } from "../../site/markdown.ts";

const PACKAGES = fileURLToPath(new URL("../../node_modules", import.meta.url));
const MARK = "Words that no page has";

const pages = globSync("**/*.md", { cwd: PACKAGES })
  .map((name) => ({ name, page: readFileSync(join(PACKAGES, name), "utf8") }))
  .filter(({ page }) => /<img|!\[/i.test(page));

test.each([
  ["Markdown", gapsInMarkdown],
  // To which the rest of such a page is a strange document.
  ["HTML", gapsInHtml],
] as const)("%s", (_, find) => {
  let gapCount = 0;
  for (const { name, page } of pages) {
    const gaps: Gap[] = find(page);
    gapCount += gaps.length;
    const filled = fill(
      page,
      gaps.map((gap) => ({ gap, alt: MARK })),
    );
    expect(filled.replaceAll(` alt="${MARK}"`, "").replaceAll(MARK, ""), name).toBe(page);
    expect(filled.split(MARK).length - 1, name).toBe(gaps.length);
    expect(find(filled), name).toEqual([]);
  }
  expect(gapCount).toBeGreaterThan(0);
});
