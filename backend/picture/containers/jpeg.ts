/**
 * Walks a JPEG's markers (ITU-T T.81, annex B): keeps what decoding needs, counts its scans, ends it at its end marker.
 * A decoder holds a progressive picture's coefficients and goes over all of them again for every scan, and libjpeg
 * appends each comment by walking the list of those before it.
 */

import { failure, type Result, success } from "../../../shared/result.ts";
import {
  breaksOff,
  concatenate,
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
const RESTART_INTERVAL = 0xdd;
const COMMENT = 0xfe;
const APPLICATION = 0xe0;
/** "Exif", a zero and a byte of padding, EXIF section 4.7.2. */
const EXIF_MARK_BYTES = 6;
/** Name, version, two flags, and how colours are coded. */
const ADOBE_BYTES = 12;

interface Frame {
  readonly width: number;
  readonly height: number;
  readonly isProgressive: boolean;
  /** Coefficients of a picture's pixel, all components together; 3 without subsampling. */
  readonly samplesAPixel: number;
  /** Bits a sample. */
  readonly precision: number;
  readonly components: readonly Component[];
}

interface Component {
  readonly id: number;
  /** Its samples a unit of the picture, beside those of the others. */
  readonly across: number;
  readonly down: number;
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
/** Coefficients of a block, and samples along its edge. */
const BLOCK = 64;
const BLOCK_EDGE = 8;

/** Fails with `unreadable-image`, `unsupported-image` or `too-costly`. */
export function scanJpeg(bytes: Uint8Array<ArrayBuffer>): Result<ScannedPicture> {
  const view = viewOf(bytes);
  const kept = new KeptPieces(bytes);
  kept.keep(0, 2);
  const wants = createSegmentFilter(bytes);
  let frame: Frame | undefined;
  let scans = 0;
  let hasEnd = false;
  let furtherAdobe: Uint8Array | undefined;
  let interval = 0;
  /** Of the scan that was met last. */
  let restarts = { wanted: 0, from: bytes.length };
  const progress = createProgress();
  let at = 2;
  while (at < bytes.length) {
    const marker = nextMarker(bytes, at);
    if (marker === undefined) {
      // It ends early; whether that is all it lacks is told from its scans here, and from its pixels once decoded. What
      // may stand before a marker would make one of whatever is put behind it.
      kept.keep(at, lengthWithoutFill(bytes, at));
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
    if (codeAt + 3 > bytes.length) return breaksOff();
    const length = view.getUint16(codeAt + 1);
    const end = codeAt + 1 + length;
    if (end > bytes.length) return breaksOff();
    if (length < 2) return unreadable("JPEG");
    const refused = REFUSED_FRAMES[code];
    if (refused !== undefined) return unsupported(refused);
    if (isStartOfFrame(code)) {
      if (frame !== undefined) return unreadable("JPEG");
      frame = readFrame(bytes.subarray(codeAt + 3, end), code);
      if (frame === undefined) return unreadable("JPEG");
      if (frame.precision !== BITS_A_SAMPLE) return unsupported(`JPEG with ${frame.precision} bits a sample`);
    }
    if (code === RESTART_INTERVAL) interval = length >= 4 ? view.getUint16(codeAt + 3) : 0;
    if (code === START_OF_SCAN) {
      // Of several the last before the pixels says how colours are coded.
      if (scans === 0 && furtherAdobe !== undefined) kept.insert(furtherAdobe);
      if (++scans > MAX_SCANS) return tooCostly(`The JPEG has more than ${MAX_SCANS} scans.`);
      const scan = bytes.subarray(codeAt + 3, end);
      progress.note(scan);
      if (frame !== undefined) restarts = { wanted: restartsIn(scan, frame, interval), from: end };
    }
    if (wants(code, codeAt + 3, end)) kept.keep(at, end);
    else if (isAdobe(bytes, code, codeAt + 3, end)) furtherAdobe = bytes.subarray(codeAt - 1, end);
    at = end;
  }
  if (frame === undefined || scans === 0) return unreadable("JPEG");
  const isWhole =
    hasEnd || (progress.isComplete(frame) && countRestarts(bytes, restarts.from) >= restarts.wanted);
  if (!isWhole) return breaksOff();
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
    isComplete: ({ components }: Frame) => components.every(({ id }) => done.get(id)?.size === BLOCK),
  };
}

/**
 * How many restart markers stand in a whole scan, T.81 sections A.2 and E.1. A decoder that misses one leaves the rest of
 * the picture grey, whatever stands there, so its pixels do not tell that a scan breaks off.
 */
function restartsIn(scan: Uint8Array, { width, height, components }: Frame, interval: number): number {
  if (interval === 0) return 0;
  const widest = Math.max(...components.map(({ across }) => across));
  const tallest = Math.max(...components.map(({ down }) => down));
  // A scan of one component goes by its blocks, one of several by what holds a block at least of each.
  const only = scan[0] === 1 ? components.find(({ id }) => id === scan[1]) : undefined;
  const units = (size: number, samples: number, most: number) =>
    only === undefined
      ? Math.ceil(size / (BLOCK_EDGE * most))
      : Math.ceil(Math.ceil((size * samples) / most) / BLOCK_EDGE);
  const count = units(width, only?.across ?? widest, widest) * units(height, only?.down ?? tallest, tallest);
  return Math.ceil(count / interval) - 1;
}

function countRestarts(bytes: Uint8Array, from: number): number {
  let count = 0;
  for (let at = bytes.indexOf(0xff, from); at !== -1; at = bytes.indexOf(0xff, at + 1)) {
    if (isRestart(bytes[at + 1])) count++;
  }
  return count;
}

function isRestart(code: number | undefined): boolean {
  return code !== undefined && code >= 0xd0 && code <= 0xd7;
}

/** Where `bytes` end, less the bytes that may fill the room before a marker. */
function lengthWithoutFill(bytes: Uint8Array, from: number): number {
  let end = bytes.length;
  while (end > from && bytes[end - 1] === 0xff) end--;
  return end;
}

/** The next marker at or after `at`, past compressed data, its stuffed zeros and its restart markers. */
function nextMarker(bytes: Uint8Array, at: number): { code: number; codeAt: number } | undefined {
  for (let found = bytes.indexOf(0xff, at); found !== -1; found = bytes.indexOf(0xff, found)) {
    do found += 1;
    while (bytes[found] === 0xff);
    const code = bytes[found];
    if (code === undefined) return undefined;
    if (code !== 0 && !isRestart(code)) return { code, codeAt: found };
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
  const read: Component[] = [];
  for (let component = 0; component < components; component++) {
    const sampling = data[7 + 3 * component] as number;
    const [across, down] = [sampling >> 4, sampling & 0x0f] as const;
    read.push({ id: data[6 + 3 * component] as number, across, down });
    const area = across * down;
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
    components: read,
  };
}

/**
 * Which segments stay where they are: all that is no application's and no comment, and of those the first JFIF, EXIF and
 * Adobe segment and a colour profile.
 */
function createSegmentFilter(bytes: Uint8Array): (code: number, start: number, end: number) => boolean {
  const seen = new Set<string>();
  let profileBytes = 0;
  const once = (name: string) => !seen.has(name) && seen.add(name) !== undefined;
  return (code, start, end) => {
    const begins = (text: string) => beginsWith(bytes.subarray(start, end), text);
    switch (code) {
      case COMMENT:
        return false;
      case APPLICATION:
        return begins("JFIF\0") && once("JFIF");
      case APPLICATION + 1:
        // One that holds nothing is passed over, as browsers and Pillow do.
        return (
          begins("Exif\0") && end - start > EXIF_MARK_BYTES && end - start <= MAX_EXIF_BYTES && once("Exif")
        );
      case APPLICATION + 2:
        if (!begins("ICC_PROFILE\0")) return false;
        profileBytes += end - start;
        return profileBytes <= MAX_PROFILE_BYTES;
      case APPLICATION + 14:
        return isAdobe(bytes, code, start, end) && once("Adobe");
      default:
        return code < APPLICATION || code > APPLICATION + 15;
    }
  };
}

/** What libjpeg takes for one; a shorter one says nothing. */
function isAdobe(bytes: Uint8Array, code: number, start: number, end: number): boolean {
  return (
    code === APPLICATION + 14 && end - start >= ADOBE_BYTES && beginsWith(bytes.subarray(start, end), "Adobe")
  );
}

function beginsWith(bytes: Uint8Array, text: string): boolean {
  return bytes.length >= text.length && [...text].every((letter, i) => bytes[i] === letter.charCodeAt(0));
}
