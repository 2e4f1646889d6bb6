/**
 * Reads the tables of an AVIF that give the properties of its items and the relations between them (ISO/IEC
 * 23008-12).
 */

import { type Box, MAX_TABLE_ROWS } from "./iso-boxes.ts";
import { viewOf } from "./scanned-picture.ts";

/** Properties that turn, mirror or crop. */
export const TURNS: ReadonlySet<string> = new Set(["irot", "imir", "clap"]);

/** Says that an item has a property. */
export interface Association {
  /** The property's number, from 1; 0 means none. */
  readonly property: number;
  /** Where the file says so, and in how many bytes. */
  readonly at: number;
  readonly length: 1 | 2;
}

/** What an `ipma` box says about each item, section 9.3. @throws RangeError if the box ends early */
export function readAssociations(
  bytes: Uint8Array,
  { start, end }: Box,
): ReadonlyMap<number, readonly Association[]> {
  const view = viewOf(bytes.subarray(start, end));
  const idBytes = view.getUint8(0) === 0 ? 2 : 4;
  const length = (view.getUint8(3) & 1) === 1 ? 2 : 1;
  const items = Math.min(view.getUint32(4), MAX_TABLE_ROWS);
  const associations = new Map<number, readonly Association[]>();
  let at = 8;
  for (let row = 0; row < items; row++) {
    const item = idBytes === 2 ? view.getUint16(at) : view.getUint32(at);
    const count = view.getUint8(at + idBytes);
    const first = at + idBytes + 1;
    at = first + count * length;
    const associated = Array.from({ length: count }, (_, i): Association => {
      const there = first + i * length;
      // The first bit says whether a reader must understand the property.
      const property = length === 2 ? view.getUint16(there) & 0x7fff : view.getUint8(there) & 0x7f;
      return { property, at: start + there, length };
    });
    associations.set(item, associated);
  }
  return associations;
}

/** How an item relates to others: `dimg` is made of them, `auxl` belongs to them. */
export interface Reference {
  readonly type: string;
  readonly from: number;
  readonly to: readonly number[];
}

const READ_REFERENCES: ReadonlySet<string> = new Set(["dimg", "auxl"]);

/** The references in an `iref` box, ISO/IEC 14496-12 section 8.11.12. @throws RangeError if a box ends early */
export function readReferences(
  bytes: Uint8Array,
  iref: Box,
  referring: readonly Box[],
): readonly Reference[] {
  const isLong = bytes[iref.start] !== 0;
  const idBytes = isLong ? 4 : 2;
  return referring
    .filter(({ type }) => READ_REFERENCES.has(type))
    .map(({ type, start, end }) => {
      const view = viewOf(bytes.subarray(start, end));
      const id = (at: number) => (isLong ? view.getUint32(at) : view.getUint16(at));
      const count = Math.min(view.getUint16(idBytes), MAX_TABLE_ROWS);
      return {
        type,
        from: id(0),
        to: Array.from({ length: count }, (_, i) => id(idBytes + 2 + i * idBytes)),
      };
    });
}

export interface ItemTables {
  /** For each item that has properties. */
  readonly associations: ReadonlyMap<number, readonly Association[]>;
  /** The boxes in `ipco`. */
  readonly properties: readonly Box[];
  readonly references: readonly Reference[];
}
