/** How numbers and directories lie in a TIFF, by section 2 of TIFF 6.0, and in a BigTIFF. Knows no tag. */

import { viewOf } from "./scanned-picture.ts";

const BIG = 43;

export interface TiffLayout {
  readonly view: DataView;
  readonly isLittle: boolean;
  /** Where the offset of the first directory is stored. */
  readonly firstAt: number;
  /** Length of the number of entries, which begins a directory. */
  readonly countBytes: number;
  readonly entryBytes: number;
  /** Length of an offset, and of the values that an entry can hold itself. */
  readonly offsetBytes: 4 | 8;
}

/** @throws RangeError if the file is shorter than its header */
export function tiffLayout(bytes: Uint8Array): TiffLayout {
  const view = viewOf(bytes);
  const isLittle = bytes[0] === 0x49;
  const sizes =
    view.getUint16(2, isLittle) === BIG
      ? ({ firstAt: 8, countBytes: 8, entryBytes: 20, offsetBytes: 8 } as const)
      : ({ firstAt: 4, countBytes: 2, entryBytes: 12, offsetBytes: 4 } as const);
  return { view, isLittle, ...sizes };
}

/** An unsigned number of 1, 2, 4 or 8 bytes. @throws RangeError if the file ends first */
export function readNumber({ view, isLittle }: TiffLayout, at: number, bytes: number): number {
  switch (bytes) {
    case 8:
      return Number(view.getBigUint64(at, isLittle));
    case 4:
      return view.getUint32(at, isLittle);
    case 2:
      return view.getUint16(at, isLittle);
    default:
      return view.getUint8(at);
  }
}
