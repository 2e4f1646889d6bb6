/** `npm run -s site -- DIR`: texts for the pictures of a static site that have none, as a diff or written into its pages. */

import { stat } from "node:fs/promises";
import * as z from "zod";
import { PICTURE_LIMITS } from "../backend/captioner/captioner.ts";
import { openLocalCaptioner } from "../backend/local-captioner.ts";
import { inspectPicture } from "../backend/picture/inspect.ts";
import { CaptionApiError, CaptionTransportError } from "../client/index.ts";
import { type Caption, WebAddress } from "../shared/schema.ts";
import { fill, type Gap } from "../site/gap.ts";
import { pageNames, readPage, writePage } from "../site/pages.ts";
import { patchOf } from "../site/patch.ts";
import { fetchPicture, PictureError, readSiteFile, sourceOf } from "../site/pictures.ts";
import { captionLocally, openApi } from "./captioners.ts";
import { CommandError, runCommand, UsageError, userPath } from "./command-line.ts";
import { systemErrorWords } from "./error-text.ts";
import { countLine, progressLine } from "./progress.ts";
import { type ReportRow, reportAtTheEnd } from "./site-report.ts";
import { printableField } from "./terminal-text.ts";

const Options = z.object({
  write: z
    .boolean()
    .default(false)
    .describe("Write the texts into the pages; without it, only the diff is shown."),
  url: z.optional(WebAddress).meta({
    description: "A caption API to ask; the embedded model on this machine where absent.",
    value: "URL",
  }),
  key: z.string().optional().describe("Key of the API; CAPTION_API_KEY of the environment where absent."),
  report: z.string().optional().meta({
    description:
      "A CSV file for editors: each picture with its page, line, text and whether it needs review. With --write what it holds of earlier runs stays.",
    value: "FILE.csv",
  }),
});
type Options = z.output<typeof Options>;

const COMMAND = {
  invocation: "npm run -s site -- DIR",
  summary:
    'Finds <img> without alt in HTML and pictures without text in Markdown, captions each picture once, and shows a unified diff. Pictures with alt="" are decorative and stay.',
  arguments: z.tuple([z.string()], "expected the folder of a site"),
  options: Options,
  examples: ["npm run -s site -- public/", "npm run -s site -- public/ --write --report pictures.csv"],
} as const;

/** In pixels; what has less shows nothing. */
const SMALLEST_SIDE = 8;

/** Of an address that holds the picture itself, enough to find it by. */
const SHOWN_CHARACTERS = 200;

async function main({
  options,
  arguments: [given],
}: {
  options: Options;
  arguments: readonly [string];
}): Promise<number> {
  const folder = userPath(given);
  if (
    !(await stat(folder).then(
      (found) => found.isDirectory(),
      () => false,
    ))
  ) {
    throw new UsageError(`expected the folder of a site, got ${given}`);
  }
  const rows: ReportRow[] = [];
  const counts = { written: 0, review: 0, failed: 0, pages: 0 };
  const fail = (page: string, problem: string) => {
    counts.failed++;
    rows.push({ page, problem });
  };
  const names = await pageNames(folder, (name, error) => fail(name, unreadable(name, error)));
  if (names.length === 0) throw new CommandError(`${given} holds no HTML or Markdown.`);
  if (options.report !== undefined) {
    await reportAtTheEnd(userPath(options.report), { rows, keepsEarlier: options.write });
  }
  const captioner = await openCaptioner(options);
  const captionOnce = once((source: string) => captionSource(captioner, folder, source));
  const progress = countLine("Read", names.length);

  for (const [index, name] of names.entries()) {
    const page = await readPage(folder, name).catch((error: unknown) => unreadable(name, error));
    if (page === undefined || typeof page === "string") {
      fail(name, page ?? "The page is not UTF-8.");
      continue;
    }
    const filled: { gap: Gap; alt: string }[] = [];
    const lineOf = lineCounter(page.text);
    for (const gap of page.gaps) {
      const row = { page: name, line: lineOf(gap.at), picture: shown(gap.source) };
      const answer = await captionOf(captioner, captionOnce, folder, name, gap).catch((error: unknown) => {
        const hasWritten = options.write && counts.pages > 0;
        throw error instanceof CommandError && hasWritten ? goesOn(error) : error;
      });
      if (typeof answer === "string") {
        counts.failed++;
        rows.push({ ...row, problem: answer });
        continue;
      }
      filled.push({ gap, alt: answer.alt });
      if (answer.needs_review) counts.review++;
      rows.push({ ...row, alt: answer.alt, score: answer.score, needs_review: answer.needs_review });
    }
    if (filled.length > 0) {
      const text = fill(page.text, filled);
      progress.end();
      process.stdout.write(patchOf(name, page.text, text));
      if (options.write && !(await writePage(folder, page, text))) {
        throw new CommandError(`${name} was changed by somebody else meanwhile; run it again.`);
      }
      counts.pages++;
      counts.written += filled.length;
    }
    progress.done(index + 1);
  }
  progress.end();
  await captioner.close();
  for (const { page, line, picture, problem } of rows) {
    if (problem !== undefined)
      console.error([page, line, picture, problem].filter(Boolean).map(printableField).join(": "));
  }
  const verb = options.write ? "written" : "to write (--write does it)";
  console.error(
    `${counts.written} texts ${verb} in ${counts.pages} of ${names.length} pages; ${counts.review} to be reviewed, ${counts.failed} failed.`,
  );
  return counts.failed > 0 ? 1 : 0;
}

/** Why a page or a folder of them cannot be read. @throws `error` where it is none of the system's */
function unreadable(name: string, error: unknown): string {
  const words = systemErrorWords(error);
  if (words === undefined) throw error;
  // A name is read as UTF-8, and then there is no such file.
  return name.includes("\uFFFD") ? "Its name is not UTF-8." : `It cannot be read: ${words}.`;
}

/** Asks for the picture of a file or an address; both remember nothing. */
interface SiteCaptioner {
  file(bytes: Uint8Array<ArrayBuffer>): Promise<Caption>;
  address(url: string): Promise<Caption>;
  /** Why it would caption no other picture either, after one that failed; undefined where it might. */
  whyNoOther(error: unknown): string | undefined;
  close(): Promise<void>;
}

async function openCaptioner(options: Options): Promise<SiteCaptioner> {
  if (options.url !== undefined) {
    const { client, whyNoOther } = openApi(options.url, options.key);
    return {
      async file(bytes) {
        requireVisible(bytes);
        return client.caption(bytes);
      },
      address: (url) => client.captionUrl(url),
      whyNoOther,
      async close() {},
    };
  }
  const { captioner, engine } = await openLocalCaptioner(undefined, {
    onProgress: progressLine("Building the embedded model"),
  });
  const file = async (bytes: Uint8Array<ArrayBuffer>): Promise<Caption> => {
    requireVisible(bytes);
    const result = await captionLocally(captioner, bytes);
    if (!result.ok) throw new PictureError(result.failure.detail);
    return result.value;
  };
  return {
    file,
    address: async (url) => file(await fetchPicture(url)),
    whyNoOther: () => undefined,
    close: () => engine.close(),
  };
}

/** What each key gave the first time. */
function once<T>(ask: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const asked = new Map<string, Promise<T>>();
  return (key) => {
    const known = asked.get(key) ?? ask(key);
    asked.set(key, known);
    return known;
  };
}

async function captionSource(captioner: SiteCaptioner, folder: string, key: string): Promise<Caption> {
  return /^https?:/.test(key) ? captioner.address(key) : captioner.file(await readSiteFile(folder, key));
}

/** @throws PictureError for a spacer, a rule, or what counts visits: a model would see something in it all the same. */
function requireVisible(bytes: Uint8Array<ArrayBuffer>): void {
  const inspected = inspectPicture(bytes, PICTURE_LIMITS);
  if (!inspected.ok) return; // whoever captions it says why
  const { width, height } = inspected.value;
  if (Math.min(width, height) >= SMALLEST_SIDE) return;
  throw new PictureError(
    `The picture has ${width} x ${height} pixels, too few to show something: write alt="" if it decorates.`,
  );
}

/** The caption, or why there is none. */
async function captionOf(
  captioner: SiteCaptioner,
  captionOnce: (key: string) => Promise<Caption>,
  folder: string,
  page: string,
  gap: Gap,
): Promise<Caption | string> {
  try {
    const source = sourceOf(folder, page, gap);
    const caption = await captionOnce(source.kind === "file" ? source.path : source.url);
    return caption.alt === "" ? "No text came back." : caption;
  } catch (error) {
    if (error instanceof PictureError) return error.message;
    const end = error instanceof CaptionTransportError ? error.message : captioner.whyNoOther(error);
    if (end !== undefined) throw new CommandError(end);
    if (error instanceof CaptionApiError) return error.problem.detail;
    throw error;
  }
}

const goesOn = (error: CommandError) =>
  new CommandError(`${error.message} What is written stays; the same command goes on from there.`, {
    cause: error,
  });

const shown = (address: string) =>
  address.length > SHOWN_CHARACTERS ? `${address.slice(0, SHOWN_CHARACTERS)}…` : address;

/** Numbers of lines from 1, by places that come in order. */
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
