/** The page that `npm run eval -- --report` writes: self-contained HTML, no script. */

import { readFile } from "node:fs/promises";
import { extname } from "node:path";
import { html, raw } from "hono/html";
import type { EvaluatedPicture, Evaluation } from "./evaluate.ts";

const SHOWN = 12;

/** The page's text, sample pictures inside it. */
export async function renderReport({ model, scores, calibration, pictures }: Evaluation): Promise<string> {
  const title = `${model?.id} ${model?.revision}`;
  const ranked = [...pictures].sort((a, b) => b.cider - a.cider);
  const most = Math.max(...calibration.bins.map((bin) => bin.pictures));
  const page = await html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>${title}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; text-align: left; vertical-align: top; }
ul.pictures { list-style: none; padding: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem; }
.pictures img { width: 100%; aspect-ratio: 1; object-fit: cover; } small { display: block; opacity: .75; }
</style>
</head>
<body>
<h1>${title}</h1>
<p>${pictures.length} pictures</p>
<table>${Object.entries(scores).map(([name, value]) => html`<tr><th>${name}</th><td>${value.toFixed(4)}</td></tr>`)}</table>
<h2>What the model's score is worth</h2>
<p>Rank correlation of score and CIDEr-D: ${calibration.rank_correlation.toFixed(3)}</p>
<table>
<tr><th>score</th><th>pictures</th><th></th><th>mean CIDEr-D</th></tr>
${calibration.bins.map(
  ({ from, pictures: count, cider }) => html`<tr><td>${from.toFixed(2)}</td><td>${count}</td>
<td><meter value="${count}" max="${most}">${count}</meter></td><td>${cider === null ? "" : cider.toFixed(3)}</td></tr>`,
)}
</table>
<h2>Best</h2>
${await pictureList(ranked.slice(0, SHOWN))}
<h2>Worst</h2>
${await pictureList(ranked.slice(-SHOWN).reverse())}
</body>
</html>
`;
  return String(page);
}

async function pictureList(pictures: readonly EvaluatedPicture[]) {
  const items = await Promise.all(
    pictures.map(async ({ path, caption, score, cider, references }) => {
      const type = extname(path).slice(1).replace("jpg", "jpeg");
      const source = `data:image/${type};base64,${(await readFile(path)).toString("base64")}`;
      return html`<li><img src="${raw(source)}" alt="${caption}"><b>${caption}</b>
<small>CIDEr-D ${cider.toFixed(2)}, score ${score.toFixed(2)}</small>
${references.map((reference) => html`<small>${reference}</small>`)}</li>`;
    }),
  );
  return html`<ul class="pictures">${items}</ul>`;
}
