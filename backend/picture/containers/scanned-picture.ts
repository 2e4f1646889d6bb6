/** What the scanners in this folder find out about a file, and the limits they share. Knows no format. */

import { failure, type Result } from "../../../shared/result.ts";

/** What the container itself says about its picture, before any decoder has seen it. */
export interface ScannedPicture {
  /**
   * The file without text, later frames and whatever else decoding does not need; the original bytes if nothing was
   * left out.
   */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** As stored, not yet turned by its orientation. */
  readonly width: number;
  readonly height: number;
  /** Most memory that its decoder needs in addition to the file, as measured by `npm run -s bench -- hostile`. */
  readonly decodeBytes: number;
  /** What follows the colours of each pixel in a TIFF. */
  readonly extraSamples?: readonly ExtraSample[];
  /** The picture of an AVIF is grey; its decoder turns that into three equal colours. */
  readonly isGrey?: boolean;
  /** The greys of an AVIF range from 16 to 235, and its decoder leaves them so. */
  readonly isLimitedGrey?: boolean;
  /** The colours of an AVIF with transparency have already been multiplied by it. */
  readonly isPremultiplied?: boolean;
  /** For a file that may have been cut off: the same bytes with meaningless data before the end. */
  readonly withOtherEnd?: Uint8Array<ArrayBuffer>;
}

export type ExtraSample = "alpha" | "ignored";

/**
 * Additional memory per pixel if our own code removes what follows the colours: that is done on the whole picture,
 * before it is resized.
 */
export const WHOLE_PIXEL_BYTES = 7.5;

/** Largest colour profile that is kept; those of printers take 2 MiB. Without its profile, a picture is read as sRGB. */
export const MAX_PROFILE_BYTES = 4 * 1024 * 1024;
/** Only the orientation is read from it. A JPEG segment cannot hold more. */
export const MAX_EXIF_BYTES = 64 * 1024;

/** The file's own structure is damaged, so no decoder is asked. */
export function unreadable(format: string): Result<never> {
  return failure("unreadable-image", `The ${format} header cannot be read.`);
}

/** The file is shorter than it claims: a transfer or copy of it was not finished. */
export function breaksOff(): Result<never> {
  return failure("unreadable-image", "The picture breaks off before its end.");
}

/** The file is built so that decoding it costs far more than its pixels would. */
export function tooCostly(what: string): Result<never> {
  return failure("too-costly", what);
}

/** A view of these bytes alone, which may be part of a larger buffer. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function concatenate(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(parts));
}

/** The result of `read`; undefined if it reads past the end of its box or table. */
export function withinBounds<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** The four characters at `offset`, as in types of chunks and boxes. */
export function fourCharacters(bytes: Uint8Array, offset: number): string {
  const at = (i: number) => bytes[offset + i] ?? 0;
  return String.fromCharCode(at(0), at(1), at(2), at(3));
}

/**
 * The pieces of a file that are kept, in order. Adjacent pieces are merged, so that a million small chunks cost no
 * memory.
 */
export class KeptPieces {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #pieces: Uint8Array[] = [];
  #start = 0;
  #end = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = bytes;
  }

  /** Keeps the bytes from `start` to `end`. */
  keep(start: number, end: number): void {
    if (start !== this.#end) {
      this.#flush();
      this.#start = start;
    }
    this.#end = end;
  }

  /** Inserts bytes from elsewhere at this point. */
  insert(bytes: Uint8Array): void {
    this.#flush();
    this.#start = this.#end;
    this.#pieces.push(bytes);
  }

  /** The kept bytes; the file itself if all of it was kept. */
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
