/**
 * Checks whether transparency is turned as the colours are (ISO/IEC 23008-12). Some writers turn, mirror or crop
 * only the colours; readers apply that to both, but libheif does not. Decodes nothing.
 */

import type { Box } from "./iso-boxes.ts";
import { type ItemTables, TURNS } from "./iso-items.ts";

/** Marks an auxiliary picture as transparency: the ends of its names in AV1 and in HEVC. */
const TRANSPARENCY = /:(auxiliary:alpha|auxid:1)\0/;
const MOST_NAME_BYTES = 100;
/** Length of the longest turn, `clap`. */
const MOST_TURN_BYTES = 32;

/**
 * Whether each transparency has the same turns as the picture that it belongs to.
 * @throws RangeError if a property ends early
 */
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

/** A property that turns, mirrors or crops, as text; undefined for other properties and for a turn by 0 degrees. */
function turnIn(bytes: Uint8Array, { type, start, end }: Box): string | undefined {
  if (!TURNS.has(type) || (type === "irot" && bytes[start] === 0)) return undefined;
  return `${type} ${bytes.subarray(start, Math.min(end, start + MOST_TURN_BYTES))}`;
}

function isForTransparency(bytes: Uint8Array, { type, start, end }: Box): boolean {
  // A version and flags come before the name.
  const name = bytes.subarray(start + 4, Math.min(end, start + 4 + MOST_NAME_BYTES));
  return type === "auxC" && TRANSPARENCY.test(String.fromCharCode(...name));
}
