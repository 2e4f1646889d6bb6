/**
 * The patch of a page whose pictures got texts. The texts stay within their lines, so each line is compared only with its
 * old self: a general diff, which looks for lines that moved, takes minutes for a page of 20,000 pictures.
 */

import path from "node:path";
import { FILE_HEADERS_ONLY, formatPatch, type StructuredPatchHunk } from "diff";

const CONTEXT_LINES = 1;
const NO_END = "\\ No newline at end of file";

/**
 * The patch in the unified format, as `git apply` and `patch -p1` take it.
 * @param name the page's path below the folder that the patch is for
 * @param after the page as it will be, with as many lines as `before`
 */
export function patchOf(name: string, before: string, after: string): string {
  const posix = name.split(path.sep).join("/");
  const patch = formatPatch(
    {
      oldFileName: `a/${posix}`,
      newFileName: `b/${posix}`,
      oldHeader: undefined,
      newHeader: undefined,
      hunks: hunksOf(before, after),
    },
    FILE_HEADERS_ONLY,
  );
  // A name with a blank in it ends at a tab, as in git's own patches.
  return posix.includes(" ") ? patch.replace(/^(--- .*)\n(.*)$/m, "$1\t\n$2\t") : patch;
}

function hunksOf(before: string, after: string): StructuredPatchHunk[] {
  const [old, now] = [linesOf(before), linesOf(after)];
  if (old.length !== now.length) throw new Error("This is a bug: a text changed the number of lines.");
  const isChanged = (line: number) => old[line] !== now[line];
  const hunks: StructuredPatchHunk[] = [];
  let line = 0;
  while (line < old.length) {
    if (!isChanged(line)) {
      line++;
      continue;
    }
    const start = Math.max(0, line - CONTEXT_LINES);
    let last = line;
    for (let next = line; next < old.length && next <= last + 2 * CONTEXT_LINES + 1; next++) {
      if (isChanged(next)) last = next;
    }
    const end = Math.min(old.length, last + 1 + CONTEXT_LINES);
    const count = end - start;
    hunks.push({
      oldStart: start + 1,
      oldLines: count,
      newStart: start + 1,
      newLines: count,
      lines: hunkLines(old, now, { start, end }),
    });
    line = end;
  }
  return hunks;
}

function hunkLines(
  old: readonly string[],
  now: readonly string[],
  { start, end }: { readonly start: number; readonly end: number },
): string[] {
  const lines: string[] = [];
  let added: string[] = [];
  for (let line = start; line < end; line++) {
    const [was, is] = [old[line] as string, now[line] as string];
    if (was === is) {
      lines.push(...added, ...marked(" ", was));
      added = [];
    } else {
      lines.push(...marked("-", was));
      added.push(...marked("+", is));
    }
  }
  return [...lines, ...added];
}

/** A line of the patch; the last one of a page may have no end. */
function marked(sign: " " | "-" | "+", line: string): string[] {
  return line.endsWith("\n") ? [sign + line.slice(0, -1)] : [sign + line, NO_END];
}

/** Lines, each with its line end. */
function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}
