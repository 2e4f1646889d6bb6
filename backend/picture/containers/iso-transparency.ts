/**
 * Judges whether transparency lies as the colours do (ISO/IEC 23008-12): some writers turn, mirror or crop the colours
 * alone, which readers take to mean both, and libheif does not. Decodes nothing.
 */

import { type Box, boxesOf } from "./iso-boxes.ts";
import { readAssociations, readReference, TURNS } from "./iso-items.ts";
import { viewOf } from "./scanned-picture.ts";

/** What an auxiliary picture is for, by the ends of its names in AV1 and in HEVC. */
const TRANSPARENCY = /:(auxiliary:alpha|auxid:1)\0/;
const MOST_NAME_BYTES = 100;
/** Of the longest of the turns, `clap`. */
const MOST_TURN_BYTES = 32;

export interface ItemTables {
  /** `ipma`: which properties each item has. */
  readonly associations: Box;
  /** What is in `ipco`. */
  readonly properties: readonly Box[];
  /** `iref`: what items are to each other. */
  readonly references: Box;
}

/** Whether each transparency has the turns of the picture that it belongs to; undefined where a table ends early. */
export function isTransparencyTurnedAlike(bytes: Uint8Array, tables: ItemTables): boolean | undefined {
  try {
    const { associations, properties, references } = tables;
    const turns = properties.map((property) => turnIn(bytes, property));
    const areTransparency = properties.map((property) => isForTransparency(bytes, property));
    const owned = readAssociations(bytes, associations);
    const items = new Map(
      [...owned].map(([item, associated]) => [
        item,
        {
          turns: associated.flatMap(({ property }) => turns[property - 1] ?? []).join(),
          isTransparency: associated.some(({ property }) => areTransparency[property - 1]),
        },
      ]),
    );
    const isLong = bytes[references.start] !== 0;
    const auxiliary = boxesOf(bytes, references.start + 4, references.end)?.filter(
      ({ type }) => type === "auxl",
    );
    return auxiliary?.every(({ start, end }) => {
      const { from, to } = readReference(viewOf(bytes.subarray(start, end)), isLong);
      const transparency = items.get(from);
      return (
        transparency?.isTransparency !== true ||
        to.every((item) => (items.get(item)?.turns ?? "") === transparency.turns)
      );
    });
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
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
