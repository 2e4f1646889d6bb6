/**
 * Finds tiles that are turned on their own (ISO/IEC 23008-12): avifenc 0.11 gives each tile the turn of the whole
 * picture. AVIF readers ignore that, but libheif turns each tile. Decodes nothing.
 */

import type { Box } from "./iso-boxes.ts";
import { type Association, type ItemTables, TURNS } from "./iso-items.ts";
import { fourCharacters, viewOf } from "./scanned-picture.ts";

/**
 * The associations by which tiles are turned, mirrored or cropped.
 *
 * @param entries the boxes in `iinf`
 * @throws RangeError if an entry ends early
 */
export function turnsOfTiles(
  bytes: Uint8Array,
  { associations, properties, references }: ItemTables,
  entries: readonly Box[],
): readonly Association[] {
  const grids = new Set(entries.flatMap((entry) => gridOf(bytes, entry)));
  const tiles = references
    .filter(({ type, from }) => type === "dimg" && grids.has(from))
    .flatMap(({ to }) => to);
  return [...new Set(tiles)]
    .flatMap((tile) => associations.get(tile) ?? [])
    .filter(({ property }) => TURNS.has(properties[property - 1]?.type ?? ""));
}

/** The number of an item that an `infe` box, version 2 or 3, calls a grid. @throws RangeError if the box ends early */
function gridOf(bytes: Uint8Array, { type, start, end }: Box): number[] {
  const view = viewOf(bytes.subarray(start, end));
  if (type !== "infe" || view.getUint8(0) < 2) return [];
  const isLong = view.getUint8(0) > 2;
  const isGrid = fourCharacters(bytes, start + (isLong ? 10 : 8)) === "grid";
  return isGrid ? [isLong ? view.getUint32(4) : view.getUint16(4)] : [];
}
