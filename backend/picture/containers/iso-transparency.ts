/**
 * Judges whether transparency lies as the colours do (ISO/IEC 23008-12): some writers turn, mirror or crop the colours
 * alone, which readers take to mean both, and libheif does not. Decodes nothing.
 */

import type { Box } from "./iso-boxes.ts";
import { type ItemTables, TURNS } from "./iso-items.ts";

/** What an auxiliary picture is for, by the ends of its names in AV1 and in HEVC. */
const TRANSPARENCY = /:(auxiliary:alpha|auxid:1)\0/;
const MOST_NAME_BYTES = 100;
/** Of the longest of the turns, `clap`. */
const MOST_TURN_BYTES = 32;

/** Whether each transparency has the turns of the picture that it belongs to. @throws RangeError where a property ends early */
export function isTransparencyTurnedAlike(
  bytes: Uint8Array,
  { associations, properties, references }: ItemTables,
): boolean {
  const turns = properties.map((property) => turnIn(bytes, property));
  const areTransparency = properties.map((property) => isForTransparency(bytes, property));
  const items = new Map(
    [...associations].map(([item, associated]) => [
      item,
      {
        turns: associated.flatMap(({ property }) => turns[property - 1] ?? []).join(),
        isTransparency: associated.some(({ property }) => areTransparency[property - 1]),
      },
    ]),
  );
  return references
    .filter(({ type }) => type === "auxl")
    .every(({ from, to }) => {
      const transparency = items.get(from);
      return (
        transparency?.isTransparency !== true ||
        to.every((item) => (items.get(item)?.turns ?? "") === transparency.turns)
      );
    });
}

/** A property that turns, mirrors or crops, as text; undefined for others, and for a turn by nothing. */
function turnIn(bytes: Uint8Array, { type, start, end }: Box): string | undefined {
  if (!TURNS.has(type) || (type === "irot" && bytes[start] === 0)) return undefined;
  return `${type} ${bytes.subarray(start, Math.min(end, start + MOST_TURN_BYTES))}`;
}

function isForTransparency(bytes: Uint8Array, { type, start, end }: Box): boolean {
  // A version and flags stand before the name.
  const name = bytes.subarray(start + 4, Math.min(end, start + 4 + MOST_NAME_BYTES));
  return type === "auxC" && TRANSPARENCY.test(String.fromCharCode(...name));
}
