/** The page that `npm run eval -- --report` writes: self-contained HTML, no script. */

import { readFile } from "node:fs/promises";
import { html } from "hono/html";
import { recognizePicture, SUPPORTED_FORMATS } from "../shared/picture-format.ts";
import { type Bin, GOOD_CIDER } from "./calibration.ts";
import type { EvaluatedPicture, Evaluation } from "./evaluate.ts";

const SHOWN = 12;

/** The page's text, sample pictures inside it. */
export async function renderReport({ model, scores, calibration, pictures }: Evaluation): Promise<string> {
  const title = `${model?.id} ${model?.revision}`;
  const ranked = [...pictures].sort((a, b) => b.cider - a.cider);
  const unflagged = ranked.filter(({ needs_review }) => !needs_review);
  const area = calibration.area_under_curve;
  const page = await html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${title}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; text-align: left; vertical-align: top; }
svg { max-width: 26rem; } svg text { fill: currentColor; font-size: 12px; }
ul.pictures { list-style: none; padding: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem; }
.pictures img { width: 100%; aspect-ratio: 1; object-fit: cover; } small { display: block; opacity: .75; }
</style>
</head>
<body>
<h1>${title}</h1>
<p>${pictures.length} pictures</p>
<table>${Object.entries(scores).map(([name, value]) => html`<tr><th>${name}</th><td>${value.toFixed(4)}</td></tr>`)}</table>
<h2>What the model's score is worth</h2>
<p>Rank correlation of score and CIDEr-D: ${calibration.rank_correlation.toFixed(3)}.
Area under the curve for a CIDEr-D of at least ${GOOD_CIDER}: ${area === null ? "undefined" : area.toFixed(3)}.</p>
${reliabilityDiagram(calibration.bins)}
<h2>Flagged share against quality</h2>
<table>
<tr><th>flagged</th><th>from score</th><th>ROUGE-L of the rest</th><th>CIDEr-D of the rest</th></tr>
${calibration.coverage.map(
  ({ flagged_share, from_score, rouge, cider }) => html`<tr><td>${(100 * flagged_share).toFixed(0)} %</td>
<td>${from_score.toFixed(3)}</td><td>${rouge.toFixed(3)}</td><td>${cider.toFixed(3)}</td></tr>`,
)}
</table>
<h2>Worst that nobody would look at</h2>
<p>${unflagged.length} captions are not flagged for review.</p>
${await pictureList(unflagged.slice(-SHOWN).reverse())}
<h2>Best</h2>
${await pictureList(ranked.slice(0, SHOWN))}
<h2>Worst</h2>
${await pictureList(ranked.slice(-SHOWN).reverse())}
</body>
</html>
`;
  return String(page);
}

/** Score against the share of good captions, a circle a bin, its area the bin's pictures. */
function reliabilityDiagram(bins: readonly Bin[]) {
  const side = 300;
  const largest = Math.max(...bins.map(({ pictures }) => pictures));
  const width = 1 / bins.length;
  const circles = bins.flatMap(({ from, pictures, good, cider }) =>
    good === null || cider === null
      ? []
      : html`<circle cx="${(from + width / 2) * side}" cy="${(1 - good) * side}" r="${12 * Math.sqrt(pictures / largest)}"
fill="currentColor" fill-opacity=".5"><title>score ${from.toFixed(2)} to ${(from + width).toFixed(2)}: ${pictures} pictures,
${(100 * good).toFixed(0)} % good, mean CIDEr-D ${cider.toFixed(2)}</title></circle>`,
  );
  return html`<svg viewBox="-40 -20 360 360" role="img" aria-label="Share of good captions against the model's score">
<rect width="${side}" height="${side}" fill="none" stroke="currentColor" stroke-opacity=".4"/>
<line x1="0" y1="${side}" x2="${side}" y2="0" stroke="currentColor" stroke-dasharray="4"/>
${circles}
<text x="0" y="${side + 16}">0</text><text x="${side - 8}" y="${side + 16}">1</text>
<text x="110" y="${side + 32}">the model's score</text>
<text x="-14" y="${side}">0</text><text x="-14" y="10">1</text>
<text transform="translate(-22 ${side / 2 + 80}) rotate(-90)">CIDEr-D at least ${GOOD_CIDER}, share</text>
</svg>`;
}

async function pictureList(pictures: readonly EvaluatedPicture[]) {
  const items = await Promise.all(
    pictures.map(async ({ path, caption, score, cider, references }) => {
      const source = dataUrl(await readFile(path));
      return html`<li><img src="${source}" alt="${caption}"><b>${caption}</b>
<small>CIDEr-D ${cider.toFixed(2)}, score ${score.toFixed(2)}</small>
${references.map((reference) => html`<small>${reference}</small>`)}</li>`;
    }),
  );
  return html`<ul class="pictures">${items}</ul>`;
}

/** By what the bytes are: a file's name may say anything. */
function dataUrl(bytes: Buffer): string {
  const format = recognizePicture(bytes);
  const type =
    format !== undefined && "supported" in format
      ? SUPPORTED_FORMATS[format.supported]
      : "application/octet-stream";
  return `data:${type};base64,${bytes.toString("base64")}`;
}
