/**
 * A chart of docs/measurements/speed.md: pictures per second by batch size, one panel per model. The result is the text of
 * an SVG file.
 */

import { html } from "hono/html";
import type { ModelSpeed } from "./speed-measurement.ts";

const PANEL = { width: 230, height: 220, left: 46, gap: 24, top: 34 } as const;
const LEGEND = { row: 18, columns: 3, column: 250, top: 56 } as const;
/** People who do not see all colours can tell these apart (Okabe and Ito 2008); lines that are not ours are also dashed. */
const COLORS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"] as const;
const INK = "#333";

/** Rates start at 0, so that heights can be compared. Each panel has its own scale. */
export async function speedChart(models: readonly ModelSpeed[]): Promise<string> {
  const names = [...new Set(models.flatMap(({ lines }) => lines.map(({ name }) => name)))];
  const colorOf = (name: string) => COLORS[names.indexOf(name) % COLORS.length] as string;
  const width = models.length * (PANEL.left + PANEL.width + PANEL.gap);
  const legendTop = PANEL.top + PANEL.height + LEGEND.top;
  const height = legendTop + Math.ceil(names.length / LEGEND.columns) * LEGEND.row;
  const all = models.flatMap(({ lines }) => lines);
  const legend = names.map((name, i) => {
    const x = PANEL.left + (i % LEGEND.columns) * LEGEND.column;
    const y = legendTop + Math.floor(i / LEGEND.columns) * LEGEND.row;
    const dash = dashOf(all.some((line) => line.name === name && line.ours));
    return html`<line x1="${x}" x2="${x + 28}" y1="${y - 4}" y2="${y - 4}" stroke="${colorOf(name)}" stroke-width="2" stroke-dasharray="${dash}"/>
<text x="${x + 34}" y="${y}">${name}</text>
`;
  });
  const svg =
    await html`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="Pictures a second by batch size" font-family="sans-serif" font-size="12" fill="${INK}">
<rect width="100%" height="100%" fill="#fff"/>
${models.map((model, i) => panel(model, i * (PANEL.left + PANEL.width + PANEL.gap) + PANEL.left, colorOf))}
${legend}</svg>
`;
  return String(svg);
}

const dashOf = (ours: boolean) => (ours ? "none" : "5 3");

function panel({ model, lines }: ModelSpeed, left: number, colorOf: (name: string) => string) {
  const batches = [...new Set(lines.flatMap(({ points }) => points.map(({ batch }) => batch)))].sort(
    (a, b) => a - b,
  );
  const most = Math.max(...lines.flatMap(({ points }) => points.map(({ perSecond }) => perSecond)));
  const step = tickStep(most);
  const ticks = Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
  const top = ticks.at(-1) as number;
  const bottom = PANEL.top + PANEL.height;
  const x = (batch: number) =>
    Math.round(left + ((batches.indexOf(batch) + 0.5) / batches.length) * PANEL.width);
  const y = (rate: number) => Math.round(10 * (bottom - (rate / top) * PANEL.height)) / 10;
  const decimals = step < 1 ? 1 : 0;
  return html`<text x="${left}" y="${PANEL.top - 14}" font-weight="bold">${model}, pictures/s</text>
${ticks.map(
  (tick) => html`<line x1="${left}" x2="${left + PANEL.width}" y1="${y(tick)}" y2="${y(tick)}" stroke="#ddd"/>
<text x="${left - 6}" y="${y(tick) + 4}" text-anchor="end">${tick.toFixed(decimals)}</text>
`,
)}${batches.map(
  (batch) => html`<text x="${x(batch)}" y="${bottom + 16}" text-anchor="middle">${batch}</text>
`,
)}${lines.map(({ name, ours, points }) => {
  const color = colorOf(name);
  const path = points.map(({ batch, perSecond }) => `${x(batch)},${y(perSecond)}`).join(" ");
  return html`<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2" stroke-dasharray="${dashOf(ours)}"/>
${points.map(({ batch, perSecond }) => html`<circle cx="${x(batch)}" cy="${y(perSecond)}" r="3" fill="${color}"/>`)}
`;
})}<text x="${left + PANEL.width / 2}" y="${bottom + 32}" text-anchor="middle">pictures a batch</text>
`;
}

/** 1, 2 or 5 times a power of ten, so that at most six steps reach `most`. */
function tickStep(most: number): number {
  const power = 10 ** Math.floor(Math.log10(most / 6));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => most / step <= 6) as number;
}
