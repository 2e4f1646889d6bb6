/** How boxes lie in an ISO media file, by ISO/IEC 14496-12 section 4.2. Knows no type of box. */

import { fourCharacters, viewOf } from "./scanned-picture.ts";

/**
 * Most rows of a table. A picture in tiles has some hundreds: its tiles, those of its transparency, thumbnails,
 * metadata.
 */
export const MAX_TABLE_ROWS = 1_000;

export interface Box {
  readonly type: string;
  readonly typeAt: number;
  readonly start: number;
  readonly end: number;
}

/**
 * The boxes that lie side by side from `at` to `end`; undefined if one claims to be longer than the data. A file
 * may end with other data, which decoders ignore; `mayEndAnyhow` allows that.
 */
export function boxesOf(
  bytes: Uint8Array,
  at: number,
  end: number,
  { mayEndAnyhow = false } = {},
): Box[] | undefined {
  const view = viewOf(bytes);
  const boxes: Box[] = [];
  while (at < end) {
    if (at + 8 > end) return mayEndAnyhow ? boxes : undefined;
    let length = view.getUint32(at);
    let headerBytes = 8;
    if (length === 1) {
      if (at + 16 > end) return undefined;
      length = Number(view.getBigUint64(at + 8));
      headerBytes = 16;
    } else if (length === 0) {
      length = end - at;
    }
    if (length < headerBytes || at + length > end) return mayEndAnyhow ? boxes : undefined;
    boxes.push({
      type: fourCharacters(bytes, at + 4),
      typeAt: at + 4,
      start: at + headerBytes,
      end: at + length,
    });
    at += length;
    // Enough to refuse the file; a hostile one has millions.
    if (boxes.length > 2 * MAX_TABLE_ROWS) break;
  }
  return boxes;
}
