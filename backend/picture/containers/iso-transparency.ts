/**
 * Judges whether transparency lies as the colours do (ISO/IEC 23008-12): some writers turn, mirror or crop the colours
 * alone, which readers take to mean both, and libheif does not. Decodes nothing.
 */

import { type Box, boxesOf, MAX_TABLE_ROWS } from "./iso-boxes.ts";
import { viewOf } from "./scanned-picture.ts";

const TURNS: ReadonlySet<string> = new Set(["irot", "imir", "clap"]);
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
    const owned = readAssociations(viewOf(bytes.subarray(associations.start, associations.end)));
    const items = new Map(
      [...owned].map(([item, indices]) => [
        item,
        {
          turns: indices.flatMap((index) => turns[index - 1] ?? []).join(),
          isTransparency: indices.some((index) => areTransparency[index - 1]),
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

/** Numbers of properties, from 1, by item: section 9.3. @throws RangeError where the box ends early */
function readAssociations(view: DataView): Map<number, readonly number[]> {
  const idBytes = view.getUint8(0) === 0 ? 2 : 4;
  const isWide = (view.getUint8(3) & 1) === 1;
  const items = Math.min(view.getUint32(4), MAX_TABLE_ROWS);
  const associations = new Map<number, readonly number[]>();
  let at = 8;
  for (let row = 0; row < items; row++) {
    const item = idBytes === 2 ? view.getUint16(at) : view.getUint32(at);
    const count = view.getUint8(at + idBytes);
    at += idBytes + 1;
    // The first bit says whether a reader must know the property.
    const indices = Array.from({ length: count }, (_, i) =>
      isWide ? view.getUint16(at + 2 * i) & 0x7fff : view.getUint8(at + i) & 0x7f,
    );
    at += count * (isWide ? 2 : 1);
    associations.set(item, indices);
  }
  return associations;
}

/** Section 8.11.12 of ISO/IEC 14496-12. @throws RangeError where the box ends early */
function readReference(view: DataView, isLong: boolean): { from: number; to: number[] } {
  const idBytes = isLong ? 4 : 2;
  const id = (at: number) => (isLong ? view.getUint32(at) : view.getUint16(at));
  const count = Math.min(view.getUint16(idBytes), MAX_TABLE_ROWS);
  return { from: id(0), to: Array.from({ length: count }, (_, i) => id(idBytes + 2 + i * idBytes)) };
}
