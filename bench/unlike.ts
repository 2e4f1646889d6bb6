/**
 * Counts how many pictures that are unlike any photograph are flagged for review: noise, plain colours, stripes,
 * charts, and things that look like pages of text and screenshots from afar. All are drawn here, the same ones
 * every time.
 */

import sharp from "sharp";
import * as z from "zod";
import { openLocalCaptioner } from "../backend/local-captioner.ts";
import { createRandom } from "../evaluation/random.ts";
import { judgeCaption } from "../shared/review.ts";
import { bundleFolder } from "./options.ts";
import type { Report } from "./report.ts";

const WIDTH = 640;
const HEIGHT = 480;
const EACH_KIND = 8;
const SEED = 7;

export const Options = z.object({
  bundle: bundleFolder,
});

type Random = () => number;
type Colour = readonly [red: number, green: number, blue: number];

/** Each kind draws on a white page. */
const KINDS: Readonly<Record<string, (page: Page, random: Random) => void>> = {
  noise(page, random) {
    page.pixels.forEach((_, i) => {
      page.pixels[i] = Math.floor(256 * random());
    });
  },
  "plain colour": (page, random) => page.fill(0, 0, WIDTH, HEIGHT, anyColour(random)),
  stripes(page, random) {
    const step = 10 + Math.floor(random() * 60);
    for (let x = 0; x < WIDTH; x += step) page.fill(x, 0, step / 2, HEIGHT, anyColour(random));
  },
  "bar chart"(page, random) {
    page.fill(30, 440, 590, 2, INK);
    const bars = anyColour(random);
    for (let x = 40; x < 600; x += 64) {
      const height = 40 + random() * 360;
      page.fill(x, 440 - height, 44, height, bars);
    }
  },
  "page of text"(page, random) {
    for (let y = 30; y < HEIGHT - 30; y += 22) drawWords(page, 40, y, 12, random);
  },
  screenshot(page, random) {
    page.fill(0, 0, WIDTH, 36, anyColour(random));
    page.fill(0, 36, 150, HEIGHT, [232, 232, 238]);
    for (let y = 70; y < HEIGHT - 30; y += 40) drawWords(page, 12, y, 2, random);
    for (let x = 170; x < 600; x += 155) page.fill(x, 60, 140, 90, anyColour(random));
    for (let y = 190; y < HEIGHT - 30; y += 26) drawWords(page, 170, y, 9, random);
  },
};

export async function run({ bundle }: z.infer<typeof Options>): Promise<Report> {
  const { captioner, engine } = await openLocalCaptioner(bundle);
  const { id, revision, review } = captioner.model;
  const random = createRandom(SEED);
  const kinds: Report[] = [];
  for (const [kind, draw] of Object.entries(KINDS)) {
    const unflagged: Report[] = [];
    for (let i = 0; i < EACH_KIND; i++) {
      const page = createPage();
      draw(page, random);
      const answer = await captioner.caption(await page.png());
      if (!answer.ok) throw new Error(`${kind}: ${answer.failure.detail}`);
      const { score, needs_review } = judgeCaption(answer.value, review ?? undefined);
      if (!needs_review) unflagged.push({ caption: answer.value.caption, score });
    }
    kinds.push({ kind, pictures: EACH_KIND, flagged: EACH_KIND - unflagged.length, unflagged });
  }
  await engine.close();
  return { model: id, revision, review_below: review?.below ?? null, kinds };
}

interface Page {
  /** uint8 [HEIGHT, WIDTH, 3], RGB */
  readonly pixels: Uint8Array;
  fill(x: number, y: number, width: number, height: number, colour: Colour): void;
  png(): Promise<Uint8Array<ArrayBuffer>>;
}

function createPage(): Page {
  const pixels = new Uint8Array(WIDTH * HEIGHT * 3).fill(255);
  return {
    pixels,
    fill(x, y, width, height, colour) {
      const right = Math.min(WIDTH, Math.floor(x + width));
      const bottom = Math.min(HEIGHT, Math.floor(y + height));
      for (let row = Math.floor(y); row < bottom; row++) {
        for (let column = Math.floor(x); column < right; column++)
          pixels.set(colour, 3 * (row * WIDTH + column));
      }
    },
    async png() {
      const raw = { width: WIDTH, height: HEIGHT, channels: 3 } as const;
      return new Uint8Array(await sharp(pixels, { raw }).png().toBuffer());
    },
  };
}

const INK: Colour = [34, 34, 34];

/** Draws a line of `count` bars as long as words. */
function drawWords(page: Page, x: number, y: number, count: number, random: Random): void {
  let at = x;
  for (let i = 0; i < count; i++) {
    const width = 10 + random() * 50;
    page.fill(at, y, width, 8, INK);
    at += width + 7;
  }
}

function anyColour(random: Random): Colour {
  return [Math.floor(256 * random()), Math.floor(256 * random()), Math.floor(256 * random())];
}
