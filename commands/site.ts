/** `npm run -s site -- DIR`: texts for those pictures of a static site that have none, as a diff or written into its pages. */

import { stat } from "node:fs/promises";
import * as z from "zod";
import { WebAddress } from "../shared/schema.ts";
import { fill, type Gap, PageError } from "../site/gap.ts";
import { type Page, pageNames, readPage, writePage } from "../site/pages.ts";
import { patchOf } from "../site/patch.ts";
import { CommandError, runCommand, UsageError, userPath } from "./command-line.ts";
import { systemErrorWords } from "./error-text.ts";
import { apiKey } from "./options.ts";
import { countLine } from "./progress.ts";
import { openSiteCaptioner, type SiteCaptioner } from "./site-captioner.ts";
import { type ReportRow, reportAtTheEnd } from "./site-report.ts";
import { printableField, printableLines } from "./terminal-text.ts";

const Options = z.object({
  write: z
    .boolean()
    .default(false)
    .describe("Write the texts into the pages; without it, only the diff is shown."),
  url: z.optional(WebAddress).meta({
    description: "Address of a caption API to use; by default, the embedded model on this machine.",
    value: "URL",
  }),
  key: apiKey,
  report: z.string().optional().meta({
    description:
      "A CSV file for editors: each picture with its page, line, text and whether it needs review. With --write, its rows from earlier runs are kept.",
    value: "FILE.csv",
  }),
});
type Options = z.output<typeof Options>;

const COMMAND = {
  invocation: "npm run -s site -- DIR",
  summary:
    'Finds <img> without alt in HTML and pictures without text in Markdown and MDX, captions each picture once, and shows a unified diff. Pictures with alt="" are decorative and stay as they are.',
  arguments: z.tuple([z.string()], "expected the folder of a site"),
  options: Options,
  examples: ["npm run -s site -- public/", "npm run -s site -- public/ --write --report pictures.csv"],
} as const;

/** How much of an address is shown if it contains the picture itself; enough to find it. */
const SHOWN_CHARACTERS = 200;

async function main({
  options,
  arguments: [given],
}: {
  options: Options;
  arguments: readonly [string];
}): Promise<number> {
  const folder = userPath(given);
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder) throw new UsageError(`expected the folder of a site, got ${given}`);
  const rows: ReportRow[] = [];
  const names = await pageNames(folder, (page, error) =>
    rows.push({ page, problem: unreadable(page, error) }),
  );
  if (names.length === 0) throw new CommandError(`${given} holds no HTML, Markdown or MDX.`);
  if (options.report !== undefined) {
    await reportAtTheEnd(userPath(options.report), { rows, keepsEarlier: options.write });
  }
  const captioner = await openSiteCaptioner(folder, options);
  const progress = countLine("Read", names.length);
  let pages = 0;
  // Standard output was closed, as by `| head`. The rest of a patch that is only shown is then of no use, but pages left
  // unwritten are a failure.
  process.stdout.prependListener("error", ({ code }: NodeJS.ErrnoException) => {
    if (code !== "EPIPE" || !options.write) return;
    console.error(
      goesOn(new CommandError("The program that read the patch has ended, and not every page is written."))
        .message,
    );
    process.exit(1);
  });
  for (const [index, name] of names.entries()) {
    const page = await readPage(folder, name).catch((error: unknown) => unreadable(name, error));
    if (typeof page === "string") {
      rows.push({ page: name, problem: page });
      continue;
    }
    const filled = await captionGaps(captioner, page, rows).catch((error: unknown) => {
      throw error instanceof CommandError && options.write && pages > 0 ? goesOn(error) : error;
    });
    if (filled.length > 0) {
      const text = fill(page.text, filled);
      progress.end();
      const patch = patchOf(name, page.text, text);
      // A program gets the patch unchanged.
      process.stdout.write(process.stdout.isTTY ? printableLines(patch) : patch);
      if (options.write && !(await writePage(folder, page, text))) {
        throw new CommandError(`${name} was changed by somebody else meanwhile; run the command again.`);
      }
      pages++;
    }
    progress.done(index + 1);
  }
  progress.end();
  await captioner.close();
  const failed = rows.filter(({ problem }) => problem !== undefined);
  for (const { page, line, picture, problem } of failed)
    console.error([page, line, picture, problem].filter(Boolean).map(printableField).join(": "));
  const verb = options.write ? "written" : "to write (--write does it)";
  const review = rows.filter(({ needs_review }) => needs_review === true).length;
  console.error(
    `${rows.length - failed.length} texts ${verb} in ${pages} of ${names.length} pages; ${review} to be reviewed, ${failed.length} failed.`,
  );
  return failed.length > 0 ? 1 : 0;
}

/** The gaps of a page that a text was found for; `rows` gets one for each gap, as soon as it is known. */
async function captionGaps(
  captioner: SiteCaptioner,
  { name, text, gaps }: Page,
  rows: ReportRow[],
): Promise<{ readonly gap: Gap; readonly alt: string }[]> {
  const filled: { gap: Gap; alt: string }[] = [];
  const lineOf = lineCounter(text);
  for (const gap of gaps) {
    const row = { page: name, line: lineOf(gap.at), picture: shown(gap.source) };
    const answer = await captioner.caption(name, gap);
    if (typeof answer === "string") rows.push({ ...row, problem: answer });
    else {
      const { alt, score, needs_review } = answer;
      filled.push({ gap, alt });
      rows.push({ ...row, alt, score, needs_review });
    }
  }
  return filled;
}

/** Why a page or a folder of pages cannot be read. @throws `error` if it is neither a page's nor the system's */
function unreadable(name: string, error: unknown): string {
  if (error instanceof PageError) return error.message;
  const words = systemErrorWords(error);
  if (words === undefined) throw error;
  // Names are read as UTF-8, so a name that is not UTF-8 leads to no file.
  return name.includes("\uFFFD") ? "Its name is not UTF-8." : `It cannot be read: ${words}.`;
}

const goesOn = (error: CommandError) =>
  new CommandError(`${error.message} What is written stays; run the same command again to go on.`, {
    cause: error,
  });

const shown = (address: string) =>
  address.length > SHOWN_CHARACTERS ? `${address.slice(0, SHOWN_CHARACTERS)}…` : address;

/** The line number, from 1, of each position; fastest if the positions come in order. */
function lineCounter(text: string): (at: number) => number {
  let line = 1;
  let from = 0;
  return (at) => {
    if (at < from) [line, from] = [1, 0];
    line += text.slice(from, at).split("\n").length - 1;
    from = at;
    return line;
  };
}

await runCommand(COMMAND, main);
