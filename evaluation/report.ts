/** The page that `npm run eval -- --report` writes: self-contained HTML, no script, in the style of the project's other pages. */

import { readFile } from "node:fs/promises";
import { html, raw } from "hono/html";
import { recognizePicture, SUPPORTED_FORMATS } from "../shared/picture-format.ts";
import { type Bin, type Coverage, GOOD_CIDER } from "./calibration.ts";
import type { EvaluatedPicture, Evaluation } from "./evaluate.ts";
import { mean } from "./statistics.ts";

const SHOWN = 12;
const STYLE = new URL("../shared/page.css", import.meta.url);
/** Styles that only this page needs. */
const OWN_STYLE = `
svg { width: 100%; max-width: 26rem; height: auto; }
svg text { fill: currentColor; font-size: 12px; }
figure { margin: 0; }
.scrolling + .scrolling { margin-top: 1rem; }
.pictures { list-style: none; padding: 0; display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(14rem, 100%), 1fr)); }
.pictures img { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 0.3rem; }
.pictures p { margin: 0.2rem 0; overflow-wrap: anywhere; }
.pictures ul { margin: 0.2rem 0; padding-left: 1.1rem; }
`;
/** Whatever a caption or a label says, the page fetches nothing. */
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

type Html = ReturnType<typeof html>;

export interface ReportParts {
  /** The name of the labelled set. */
  readonly dataSet: string;
  readonly date: Date;
  /** What a reader has to know before believing what the page says about the score. */
  readonly notice?: string | undefined;
}

/** The page's HTML, with sample pictures embedded. */
export async function renderReport(evaluation: Evaluation, parts: ReportParts): Promise<string> {
  const { dataSet, date, notice } = parts;
  const { model, scores, calibration, pictures, failed } = evaluation;
  const title = `${model?.id} ${model?.revision}`;
  const ranked = [...pictures].sort((a, b) => b.cider - a.cider);
  const [flagged, unflagged] = [true, false].map((which) =>
    ranked.filter(({ needs_review }) => needs_review === which),
  ) as [EvaluatedPicture[], EvaluatedPicture[]];
  const area = calibration.area_under_curve;
  const page = await html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="content-security-policy" content="${POLICY}">
<title>${title}: evaluation</title>
<style>${raw(await readFile(STYLE, "utf8"))}${raw(OWN_STYLE)}</style>
</head>
<body>
<header><h1>How good the captions are</h1></header>
<main>
<dl>
<dt>Model</dt><dd>${model?.id}</dd>
<dt>Revision</dt><dd>${model?.revision}</dd>
<dt>Data set</dt><dd>${dataSet}</dd>
<dt>Date</dt><dd><time datetime="${date.toISOString()}">${date.toISOString().slice(0, 10)}</time></dd>
<dt>Pictures</dt><dd>${pictures.length}${failed > 0 ? `, and ${failed} that failed` : ""}</dd>
<dt>Flagged for review</dt><dd>${percent(flagged.length / pictures.length)} (${flagged.length} of ${pictures.length})</dd>
</dl>
${notice === undefined ? "" : html`<p><strong>${notice}</strong></p>`}
<h2>Scores</h2>
${table({
  label: "Scores",
  head: ["Measure", "Value"],
  rows: Object.entries(scores).map(([name, value]) => [name, value.toFixed(4)]),
})}
${table({
  label: "Flagged captions and others",
  head: ["Captions", "How many", "ROUGE-L", "CIDEr-D"],
  rows: [
    ["flagged for review", ...qualityOf(flagged)],
    ["not flagged", ...qualityOf(unflagged)],
  ],
})}
<h2>What the model's score is worth</h2>
<p>Rank correlation of score and CIDEr-D: ${calibration.rank_correlation.toFixed(3)}.
Area under the curve for a CIDEr-D of at least ${GOOD_CIDER}: ${area === null ? "undefined" : area.toFixed(3)}.</p>
${reliability(calibration.bins)}
<h2>Flagged share against quality</h2>
<p>What is left when the captions with the lowest scores are flagged.</p>
${coverageTable(calibration.coverage)}
<h2>Worst captions that nobody would review</h2>
<p>${unflagged.length} captions are not flagged for review.</p>
${await pictureList(unflagged.slice(-SHOWN).reverse())}
<h2>Best</h2>
${await pictureList(ranked.slice(0, SHOWN))}
<h2>Worst</h2>
${await pictureList(ranked.slice(-SHOWN).reverse())}
</main>
</body>
</html>
`;
  return String(page);
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`;

function qualityOf(pictures: readonly EvaluatedPicture[]): string[] {
  if (pictures.length === 0) return ["0", "none", "none"];
  const of = (measure: "rouge" | "cider") => mean(pictures.map((picture) => picture[measure])).toFixed(3);
  return [String(pictures.length), of("rouge"), of("cider")];
}

/** The first cell of each row names it. On a narrow screen the table scrolls sideways by itself, also by keyboard. */
function table(parts: {
  readonly label: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}): Html {
  return html`<div class="scrolling" role="group" aria-label="${parts.label}" tabindex="0"><table>
<thead><tr>${parts.head.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>${parts.rows.map(
    ([name, ...values]) =>
      html`<tr><th scope="row">${name}</th>${values.map((value) => html`<td>${value}</td>`)}</tr>`,
  )}</tbody></table></div>`;
}

function coverageTable(coverage: readonly Coverage[]): Html {
  return table({
    label: "Flagged share against quality",
    head: ["Flagged", "From score", "ROUGE-L of the rest", "CIDEr-D of the rest"],
    rows: coverage.map(({ flagged_share, from_score, rouge, cider }) => [
      percent(flagged_share),
      from_score.toFixed(3),
      rouge.toFixed(3),
      cider.toFixed(3),
    ]),
  });
}

/**
 * Score against the share of good captions, as a table and as a drawing: one circle per bin, with an area in proportion to
 * its pictures.
 */
function reliability(bins: readonly Bin[]): Html {
  const side = 300;
  const largest = Math.max(...bins.map(({ pictures }) => pictures));
  const width = 1 / bins.length;
  const filled = bins.flatMap(({ from, pictures, good, cider }) =>
    good === null || cider === null ? [] : [{ from, to: from + width, pictures, good, cider }],
  );
  const circles = filled.map(
    ({ from, pictures, good }) =>
      html`<circle cx="${(from + width / 2) * side}" cy="${(1 - good) * side}" r="${12 * Math.sqrt(pictures / largest)}" fill="currentColor" fill-opacity=".5"></circle>`,
  );
  const values = table({
    label: "Share of good captions by score",
    head: ["Score", "Pictures", "Good", "Mean CIDEr-D"],
    rows: filled.map(({ from, to, pictures, good, cider }) => [
      `${from.toFixed(2)} to ${to.toFixed(2)}`,
      String(pictures),
      percent(good),
      cider.toFixed(2),
    ]),
  });
  return html`<figure>
<svg viewBox="-40 -20 360 360" role="img" aria-label="Share of good captions against the model's score">
<rect width="${side}" height="${side}" fill="none" stroke="currentColor" stroke-opacity=".4"/>
<line x1="0" y1="${side}" x2="${side}" y2="0" stroke="currentColor" stroke-dasharray="4"/>
${circles}
<text x="0" y="${side + 16}">0</text><text x="${side - 8}" y="${side + 16}">1</text>
<text x="110" y="${side + 32}">the model's score</text>
<text x="-14" y="${side}">0</text><text x="-14" y="10">1</text>
<text transform="translate(-22 ${side / 2 + 80}) rotate(-90)">CIDEr-D at least ${GOOD_CIDER}, share</text>
</svg>
<figcaption>Each circle is a range of scores; its area shows how many pictures are in it. On the dashed line, the score equals the share of good captions.</figcaption>
</figure>
<details><summary>The same in numbers</summary>${values}</details>`;
}

async function pictureList(pictures: readonly EvaluatedPicture[]): Promise<Html> {
  if (pictures.length === 0) return html`<p>None.</p>`;
  const items = await Promise.all(
    pictures.map(async ({ path, caption, score, cider, references }) => {
      const source = dataUrl(await readFile(path));
      // The caption beside the picture is what is judged, so the picture has no alt text.
      return html`<li><img src="${source}" alt=""><p><strong>${caption}</strong></p>
<p class="hint">CIDEr-D ${cider.toFixed(2)}, score ${score.toFixed(2)}. People said:</p>
<ul class="hint">${references.map((reference) => html`<li>${reference}</li>`)}</ul></li>`;
    }),
  );
  return html`<ul class="pictures">${items}</ul>`;
}

/** Takes the media type from the bytes, because a file's name may say anything. */
function dataUrl(bytes: Buffer): string {
  const format = recognizePicture(bytes);
  const type =
    format !== undefined && "supported" in format
      ? SUPPORTED_FORMATS[format.supported]
      : "application/octet-stream";
  return `data:${type};base64,${bytes.toString("base64")}`;
}
