/**
 * Walks a JPEG's markers (ITU-T T.81, annex B): keeps what decoding needs, counts its scans, ends it at its end marker.
 * A decoder holds a progressive picture's coefficients and goes over all of them again for every scan, and libjpeg
 * appends each comment by walking the list of those before it.
 */

import { failure, type Result, success } from "../../../shared/result.ts";
import {
  KeptPieces,
  MAX_EXIF_BYTES,
  MAX_PROFILE_BYTES,
  type ScannedPicture,
  tooCostly,
  unreadable,
  viewOf,
} from "./scanned-picture.ts";

/** Encoders write ten; what draws a picture in more than this many passes is made to be slow. */
const MAX_SCANS = 100;

const BYTES_A_PIXEL = 1.5;
const COEFFICIENT_BYTES = 2;

const START = 0xd8;
const END = 0xd9;
const END_MARKER = Uint8Array.of(0xff, END);
/** A decoder that still wants data takes these for it; one that has all passes over them. */
const MEANINGLESS = new Uint8Array(256).fill(0x5a);
const START_OF_SCAN = 0xda;
const COMMENT = 0xfe;
const APPLICATION = 0xe0;

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly isProgressive: boolean;
  /** Coefficients of a picture's pixel, all components together; 3 without subsampling. */
  readonly samplesAPixel: number;
  /** Bits a sample. */
  readonly precision: number;
  readonly components: readonly number[];
}

/** Ways of coding that no browser shows; T.81 table B.1 and T.87. */
const REFUSED_FRAMES: Readonly<Record<number, string>> = {
  195: "Lossless JPEG",
  197: "Hierarchical JPEG",
  198: "Hierarchical JPEG",
  199: "Lossless JPEG",
  201: "JPEG with arithmetic coding",
  202: "JPEG with arithmetic coding",
  203: "Lossless JPEG",
  205: "Hierarchical JPEG",
  206: "Hierarchical JPEG",
  207: "Lossless JPEG",
  247: "JPEG-LS",
};
const BITS_A_SAMPLE = 8;
/** Coefficients of a block. */
const BLOCK = 64;

export function scanJpeg(bytes: Uint8Array<ArrayBuffer>): Result<ScannedPicture> {
  const view = viewOf(bytes);
  const kept = new KeptPieces(bytes);
  kept.keep(0, 2);
  const wants = createSegmentFilter(bytes);
  let frame: Frame | undefined;
  let scans = 0;
  let hasEnd = false;
  const progress = createProgress();
  let at = 2;
  while (at < bytes.length) {
    const marker = nextMarker(bytes, at);
    if (marker === undefined) {
      // It ends early; whether that is all it lacks is told from its scans here, and from its pixels once decoded.
      kept.keep(at, bytes.length);
      break;
    }
    const { code, codeAt } = marker;
    if (code === END) {
      kept.keep(at, codeAt + 1);
      hasEnd = true;
      break;
    }
    if (isBare(code)) {
      kept.keep(at, codeAt + 1);
      at = codeAt + 1;
      continue;
    }
    const length = codeAt + 3 <= bytes.length ? view.getUint16(codeAt + 1) : 0;
    const end = codeAt + 1 + length;
    if (length < 2 || end > bytes.length) return unreadable("JPEG");
    const refused = REFUSED_FRAMES[code];
    if (refused !== undefined) return unsupported(refused);
    if (isStartOfFrame(code)) {
      if (frame !== undefined) return unreadable("JPEG");
      frame = readFrame(bytes.subarray(codeAt + 3, end), code);
      if (frame === undefined) return unreadable("JPEG");
      if (frame.precision !== BITS_A_SAMPLE) return unsupported(`JPEG with ${frame.precision} bits a sample`);
    }
    if (code === START_OF_SCAN) progress.note(bytes.subarray(codeAt + 3, end));
    if (code === START_OF_SCAN && ++scans > MAX_SCANS) {
      return tooCostly(`The JPEG has more than ${MAX_SCANS} scans.`);
    }
    if (wants(code, codeAt + 3, end)) kept.keep(at, end);
    at = end;
  }
  if (frame === undefined || scans === 0) return unreadable("JPEG");
  if (!hasEnd && !progress.isComplete(frame.components)) return unreadable("JPEG");
  const { width, height, isProgressive, samplesAPixel } = frame;
  const coefficientBytes = isProgressive || scans > 1 ? samplesAPixel * COEFFICIENT_BYTES : 0;
  const decodeBytes = width * height * (BYTES_A_PIXEL + coefficientBytes);
  const whole = kept.join();
  return success({
    bytes: hasEnd ? whole : concatenate(whole, END_MARKER),
    width,
    height,
    decodeBytes,
    ...(hasEnd ? {} : { withOtherEnd: concatenate(whole, MEANINGLESS, END_MARKER) }),
  });
}

function concatenate(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(parts));
}

function unsupported(what: string): Result<never> {
  return failure("unsupported-image", `${what} is not supported. Save it as an ordinary JPEG or as PNG.`);
}

/** Which coefficients the scans have brought to their last bit: a file that breaks off between two scans lacks some. */
function createProgress() {
  const done = new Map<number, Set<number>>();
  return {
    /** Takes note of a scan's header, T.81 section B.2.3. */
    note(data: Uint8Array): void {
      const count = data[0] ?? 0;
      const [from = 0, to = BLOCK - 1, approximation = 0] = data.subarray(1 + 2 * count);
      if ((approximation & 0x0f) !== 0) return;
      for (let i = 0; i < count; i++) {
        const component = data[1 + 2 * i] ?? -1;
        const coefficients = done.get(component) ?? new Set();
        for (let k = from; k <= Math.min(to, BLOCK - 1); k++) coefficients.add(k);
        done.set(component, coefficients);
      }
    },
    isComplete: (components: readonly number[]) =>
      components.every((component) => done.get(component)?.size === BLOCK),
  };
}

/** The next marker at or after `at`, past compressed data, its stuffed zeros and its restart markers. */
function nextMarker(bytes: Uint8Array, at: number): { code: number; codeAt: number } | undefined {
  for (let found = bytes.indexOf(0xff, at); found !== -1; found = bytes.indexOf(0xff, found)) {
    do found += 1;
    while (bytes[found] === 0xff);
    const code = bytes[found];
    if (code === undefined) return undefined;
    const isData = code === 0 || (code >= 0xd0 && code <= 0xd7);
    if (!isData) return { code, codeAt: found };
  }
  return undefined;
}

/** Without a length behind it. */
function isBare(code: number): boolean {
  return code === START || code === 0x01;
}

/** SOF0 to SOF15, less the tables and the extension that lie between them. */
function isStartOfFrame(code: number): boolean {
  return code >= 0xc0 && code <= 0xcf && code !== 0xc4 && code !== 0xc8 && code !== 0xcc;
}

function readFrame(data: Uint8Array, code: number): Frame | undefined {
  const components = data[5] ?? 0;
  if (components === 0 || data.length < 6 + 3 * components) return undefined;
  const view = viewOf(data);
  const height = view.getUint16(1);
  const width = view.getUint16(3);
  let largest = 1;
  let samples = 0;
  const ids: number[] = [];
  for (let component = 0; component < components; component++) {
    ids.push(data[6 + 3 * component] as number);
    const sampling = data[7 + 3 * component] as number;
    const area = (sampling >> 4) * (sampling & 0x0f);
    largest = Math.max(largest, area);
    samples += area;
  }
  if (width === 0 || height === 0) return undefined;
  return {
    width,
    height,
    isProgressive: code % 4 === 2,
    samplesAPixel: samples / largest,
    precision: data[0] as number,
    components: ids,
  };
}

/**
 * Which segments stay: all that is no application's and no comment, and of those the first JFIF, EXIF and Adobe segment
 * and a colour profile.
 */
function createSegmentFilter(bytes: Uint8Array): (code: number, start: number, end: number) => boolean {
  const seen = new Set<string>();
  let profileBytes = 0;
  const once = (name: string) => !seen.has(name) && seen.add(name) !== undefined;
  return (code, start, end) => {
    const begins = (text: string) =>
      end - start >= text.length && [...text].every((letter, i) => bytes[start + i] === letter.charCodeAt(0));
    switch (code) {
      case COMMENT:
        return false;
      case APPLICATION:
        return begins("JFIF\0") && once("JFIF");
      case APPLICATION + 1:
        return begins("Exif\0") && end - start <= MAX_EXIF_BYTES && once("Exif");
      case APPLICATION + 2:
        if (!begins("ICC_PROFILE\0")) return false;
        profileBytes += end - start;
        return profileBytes <= MAX_PROFILE_BYTES;
      case APPLICATION + 14:
        return begins("Adobe") && once("Adobe");
      default:
        return code < APPLICATION || code > APPLICATION + 15;
    }
  };
}
