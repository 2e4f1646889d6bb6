/** What the scanners of this folder say of a file, and the limits they share. No format is known here. */

import { failure, type Result } from "../../../shared/result.ts";

/** What a container's own words say of the picture in it, before any decoder has seen it. */
export interface ScannedPicture {
  /** The file without what decoding does not need: no text, no later frames. The given bytes where nothing was left out. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** As stored, not yet turned by its orientation. */
  readonly width: number;
  readonly height: number;
  /** Most memory that its decoder will take beside the file, by measurement (`npm run -s bench -- hostile`). */
  readonly decodeBytes: number;
  /** What stands behind the colours of each pixel of a TIFF. */
  readonly extraSamples?: readonly ExtraSample[];
  /** The picture of an AVIF is grey; its decoder makes three equal colours of it. */
  readonly isGrey?: boolean;
  /** The greys of an AVIF lie from 16 to 235, and its decoder leaves them there. */
  readonly isLimitedGrey?: boolean;
  /** The colours of an AVIF with transparency are multiplied by it already. */
  readonly isPremultiplied?: boolean;
  /** What may break off before its end, with some data of no meaning there. */
  readonly withOtherEnd?: Uint8Array<ArrayBuffer>;
}

export type ExtraSample = "alpha" | "ignored";

/** Beside decoding, where what stands behind colours is taken away here: from the whole picture, before it is resized. */
export const WHOLE_PIXEL_BYTES = 7.5;

/** Colour profiles of printers take 2 MiB; larger ones are left out, and the picture is read as sRGB. */
export const MAX_PROFILE_BYTES = 4 * 1024 * 1024;
/** Only the orientation is read of it. A JPEG cannot hold more in one segment. */
export const MAX_EXIF_BYTES = 64 * 1024;

/** The file's own structure is damaged: no decoder needs to be asked. */
export function unreadable(format: string): Result<never> {
  return failure("unreadable-image", `The ${format} header cannot be read.`);
}

/** The file is shorter than it says: a transfer or a copy of it was not finished. */
export function breaksOff(): Result<never> {
  return failure("unreadable-image", "The picture breaks off before its end.");
}

/** The file is built so that decoding it costs far more than its pixels. */
export function tooCostly(what: string): Result<never> {
  return failure("too-costly", what);
}

/** Of these bytes alone: they may be a part of a larger buffer. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function concatenate(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(parts));
}

/** What is read; undefined where that runs past the end of its box or table. */
export function withinBounds<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Four characters at `offset`, as chunk and box types are. */
export function fourCharacters(bytes: Uint8Array, offset: number): string {
  const at = (i: number) => bytes[offset + i] ?? 0;
  return String.fromCharCode(at(0), at(1), at(2), at(3));
}

/** Bytes of a file that stay, in order. Neighbours become one piece, so that a million small chunks cost no memory. */
export class KeptPieces {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #pieces: Uint8Array[] = [];
  #start = 0;
  #end = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
  }

  /** Keeps what lies from `start` to `end`. */
  keep(start: number, end: number): void {
    if (start !== this.#end) {
      this.#flush();
      this.#start = start;
    }
    this.#end = end;
  }

  /** Puts bytes from elsewhere here. */
  insert(bytes: Uint8Array): void {
    this.#flush();
    this.#start = this.#end;
    this.#pieces.push(bytes);
  }

  /** The kept bytes; the file itself where all of it was kept. */
  join(): Uint8Array<ArrayBuffer> {
    if (this.#pieces.length === 0 && this.#start === 0 && this.#end === this.#bytes.length)
      return this.#bytes;
    this.#flush();
    this.#start = this.#end;
    const joined = new Uint8Array(this.#pieces.reduce((sum, { length }) => sum + length, 0));
    let offset = 0;
    for (const piece of this.#pieces) {
      joined.set(piece, offset);
      offset += piece.length;
    }
    return joined;
  }

  #flush(): void {
    if (this.#end > this.#start) this.#pieces.push(this.#bytes.subarray(this.#start, this.#end));
  }
}
