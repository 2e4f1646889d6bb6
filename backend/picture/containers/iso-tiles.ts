/**
 * Finds where the tiles of a picture are turned (ISO/IEC 23008-12): avifenc 0.11 says of each what it says of the whole.
 * Readers of AVIF pass over it, and libheif turns them one by one. Decodes nothing.
 */

import type { Box } from "./iso-boxes.ts";
import { type Association, readAssociations, readReference, TURNS } from "./iso-items.ts";
import { fourCharacters, viewOf } from "./scanned-picture.ts";

export interface TileTables {
  /** `ipma`: which properties each item has. */
  readonly associations: Box;
  /** What is in `ipco`. */
  readonly properties: readonly Box[];
  /** What is in `iref`, and the version of that box. */
  readonly references: readonly Box[];
  readonly referencesVersion: number;
  /** What is in `iinf`. */
  readonly entries: readonly Box[];
}

/** That tiles are turned, mirrored or cropped; undefined where a table ends early. */
export function turnsOfTiles(bytes: Uint8Array, tables: TileTables): readonly Association[] | undefined {
  const { associations, properties, references, referencesVersion, entries } = tables;
  try {
    const grids = new Set(entries.flatMap((entry) => gridOf(bytes, entry)));
    const tiles = references
      .filter(({ type }) => type === "dimg")
      .map(({ start, end }) => readReference(viewOf(bytes.subarray(start, end)), referencesVersion !== 0))
      .filter(({ from }) => grids.has(from))
      .flatMap(({ to }) => to);
    const owned = readAssociations(bytes, associations);
    return [...new Set(tiles)]
      .flatMap((tile) => owned.get(tile) ?? [])
      .filter(({ property }) => TURNS.has(properties[property - 1]?.type ?? ""));
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** The number of the item that an `infe` box, version 2 or 3, calls a grid. @throws RangeError where the box ends early */
function gridOf(bytes: Uint8Array, { type, start, end }: Box): number[] {
  const view = viewOf(bytes.subarray(start, end));
  if (type !== "infe" || view.getUint8(0) < 2) return [];
  const isLong = view.getUint8(0) > 2;
  const isGrid = fourCharacters(bytes, start + (isLong ? 10 : 8)) === "grid";
  return isGrid ? [isLong ? view.getUint32(4) : view.getUint16(4)] : [];
}
