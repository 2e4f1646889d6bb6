/**
 * Walks a JPEG's markers (ITU-T T.81, annex B): keeps what decoding needs, counts the scans, and stops at the end
 * marker. It limits what a hostile file can cost: a decoder holds a progressive picture's coefficients and goes
 * over all of them for every scan, and libjpeg appends each comment by walking the list of all earlier ones.
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

/** Encoders write ten. A picture drawn in more passes than this is built to be slow. */
const MAX_SCANS = 100;

const BYTES_A_PIXEL = 1.5;
const COEFFICIENT_BYTES = 2;

const START = 0xd8;
const END = 0xd9;
const END_MARKER = Uint8Array.of(0xff, END);
/** A decoder that still needs data takes these bytes for it; one that has all its data skips them. */
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
  /** Coefficients per pixel of the picture, all components together; 3 without subsampling. */
  readonly samplesAPixel: number;
  /** Bits per sample. */
  readonly precision: number;
  readonly components: readonly Component[];
}

interface Component {
  readonly id: number;
  /** Sampling factors, relative to those of the other components. */
  readonly across: number;
  readonly down: number;
}

/** Codings that no browser shows; T.81 table B.1 and T.87. */
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
  /** For the latest scan. */
  let restarts = { wanted: 0, from: bytes.length };
  const progress = createProgress();
  let at = 2;
  while (at < bytes.length) {
    const marker = nextMarker(bytes, at);
    if (marker === undefined) {
      // The file ends early. Its scans here, and its pixels once decoded, tell whether more than the end marker is
      // missing. Trailing fill bytes are dropped, because they would make a marker of whatever is appended.
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
      // If there are several Adobe segments, the last one before the pixels says how colours are coded.
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

/**
 * Tracks which coefficients the scans have completed to the last bit: a file that breaks off between two scans
 * lacks some.
 */
function createProgress() {
  const done = new Map<number, Set<number>>();
  return {
    /** Records a scan's header, T.81 section B.2.3. */
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
 * How many restart markers a complete scan has, T.81 sections A.2 and E.1. A decoder that misses one leaves the
 * rest of the picture grey, whatever data follows, so its pixels cannot show that a scan breaks off.
 */
function restartsIn(scan: Uint8Array, { width, height, components }: Frame, interval: number): number {
  if (interval === 0) return 0;
  const widest = Math.max(...components.map(({ across }) => across));
  const tallest = Math.max(...components.map(({ down }) => down));
  // A scan of one component counts its own blocks; a scan of several counts units that hold at least one block of each.
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

/** The length of `bytes` without trailing fill bytes, which may precede a marker. */
function lengthWithoutFill(bytes: Uint8Array, from: number): number {
  let end = bytes.length;
  while (end > from && bytes[end - 1] === 0xff) end--;
  return end;
}

/** The next marker at or after `at`, past compressed data with its stuffed zeros and restart markers. */
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

/** Whether no length follows the marker. */
function isBare(code: number): boolean {
  return code === START || code === 0x01;
}

/** SOF0 to SOF15, without the tables and the extension among those codes. */
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
 * Decides which segments stay: all that are neither application data nor comments, the first JFIF, EXIF and Adobe
 * segments, and a colour profile.
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
        // An EXIF segment without content is ignored, as browsers and Pillow do.
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

/** Whether libjpeg takes the segment for an Adobe one; a shorter one says nothing. */
function isAdobe(bytes: Uint8Array, code: number, start: number, end: number): boolean {
  return (
    code === APPLICATION + 14 && end - start >= ADOBE_BYTES && beginsWith(bytes.subarray(start, end), "Adobe")
  );
}

function beginsWith(bytes: Uint8Array, text: string): boolean {
  return bytes.length >= text.length && [...text].every((letter, i) => bytes[i] === letter.charCodeAt(0));
}
