/**
 * Walks the boxes of an AVIF (ISO/IEC 14496-12, 23008-12) to find the size of its picture and whether its tables
 * are no larger than a picture needs. Sequences and metadata are hidden from the decoder by changing their types,
 * because offsets into the file must stay valid.
 */

import { failure, type Result, success } from "../../../shared/result.ts";
import { type Box, boxesOf, MAX_TABLE_ROWS } from "./iso-boxes.ts";
import { type Association, readAssociations, readReferences } from "./iso-items.ts";
import { turnsOfTiles } from "./iso-tiles.ts";
import { isTransparencyTurnedAlike } from "./iso-transparency.ts";
import {
  breaksOff,
  fourCharacters,
  type ScannedPicture,
  tooCostly,
  unreadable,
  viewOf,
  WHOLE_PIXEL_BYTES,
  withinBounds,
} from "./scanned-picture.ts";

/** How many times a file's bytes may be named as data. Extents may overlap, and each is copied. */
const MAX_NAMED_BYTES_RATIO = 4;

const BYTES_A_PIXEL = 19;

/**
 * Boxes that do not belong to the picture: a sequence's tables and fragments. They are renamed to `free`, which
 * decoders skip.
 */
const HIDDEN_BOXES: ReadonlySet<string> = new Set(["moov", "moof", "mfra", "sidx"]);
/** Items that do not belong to the picture, and pictures made by stacking others, which AVIF files do not contain. */
const HIDDEN_ITEMS: ReadonlySet<string> = new Set(["mime", "uri ", "Exif", "iovl", "iden"]);
const SEQUENCE_BRANDS: ReadonlySet<string> = new Set(["avis", "msf1"]);
const STILL_BRAND = Uint8Array.from("avif", (letter) => letter.charCodeAt(0));
const FREE = Uint8Array.from("free", (letter) => letter.charCodeAt(0));

/** Fails with `unreadable-image`, `unsupported-image` or `too-costly`. */
export function scanIsoMedia(bytes: Uint8Array<ArrayBuffer>): Result<ScannedPicture> {
  const top = boxesOf(bytes, 0, bytes.length, { mayEndAnyhow: true });
  const meta = top?.find(({ type }) => type === "meta");
  // A version and flags come before the contents of the box.
  const inMeta = meta && boxesOf(bytes, meta.start + 4, meta.end);
  if (top !== undefined && meta === undefined && top.some(({ type }) => type === "moov")) {
    return failure(
      "unsupported-image",
      "An AVIF sequence without a still picture is not supported. Send its first frame.",
    );
  }
  if (top === undefined || inMeta === undefined) return unreadable("AVIF");
  const find = (type: string) => inMeta.find((box) => box.type === type);

  const items = find("iinf");
  const locations = find("iloc");
  const properties = find("iprp");
  const references = find("iref");
  if (items === undefined || locations === undefined || properties === undefined) return unreadable("AVIF");
  const container = boxesOf(bytes, properties.start, properties.end)?.find(({ type }) => type === "ipco");
  const owned = container && boxesOf(bytes, container.start, container.end);
  const entries = boxesOf(bytes, items.start + (bytes[items.start] === 0 ? 6 : 8), items.end);
  const referring = references === undefined ? [] : boxesOf(bytes, references.start + 4, references.end);
  const locationTable = viewOf(bytes.subarray(locations.start, locations.end));
  const namedBytes = withinBounds(() => sumExtents(locationTable, bytes.length));
  if (owned === undefined || entries === undefined || referring === undefined || namedBytes === undefined) {
    return unreadable("AVIF");
  }
  if (
    namedBytes === "too many" ||
    Math.max(owned.length, entries.length, referring.length) > MAX_TABLE_ROWS
  ) {
    return tooCostly(`The AVIF has more than ${MAX_TABLE_ROWS} items, properties or references.`);
  }
  if (namedBytes === "more than there is") return breaksOff();
  if (namedBytes > MAX_NAMED_BYTES_RATIO * bytes.length) {
    return tooCostly("The AVIF uses the same bytes as data again and again.");
  }

  const associations = boxesOf(bytes, properties.start, properties.end)?.find(({ type }) => type === "ipma");
  let turned: readonly Association[] = [];
  if (references !== undefined && associations !== undefined) {
    const found = withinBounds(() => {
      const tables = {
        associations: readAssociations(bytes, associations),
        properties: owned,
        references: readReferences(bytes, references, referring),
      };
      return {
        turned: turnsOfTiles(bytes, tables, entries),
        isAlike: isTransparencyTurnedAlike(bytes, tables),
      };
    });
    if (found === undefined) return unreadable("AVIF");
    turned = found.turned;
    if (!found.isAlike) {
      const what = "An AVIF whose transparency is not turned as its colours are";
      return failure("unsupported-image", `${what} is not supported. Convert it to PNG or WebP.`);
    }
  }

  const size = largestSize(bytes, owned);
  if (size === undefined) return unreadable("AVIF");
  const isPremultiplied = referring.some(({ type }) => type === "prem");
  const isGrey = owned.filter(({ type }) => type === "av1C").every(({ start }) => isMonochrome(bytes, start));
  const isLimitedGrey = isGrey && owned.some((property) => isLimitedRange(bytes, property));
  if (isLimitedGrey && owned.some((property) => isProfile(bytes, property))) {
    const what = "A grey AVIF of limited range with a colour profile";
    return failure("unsupported-image", `${what} is not supported. Convert it to PNG or WebP.`);
  }
  const pixelBytes = BYTES_A_PIXEL + (isPremultiplied || isLimitedGrey ? WHOLE_PIXEL_BYTES : 0);
  const hidden = [
    ...top.filter(({ type }) => HIDDEN_BOXES.has(type)).map(({ typeAt }) => typeAt),
    ...entries.flatMap((entry) => hiddenItem(bytes, entry)),
  ];
  return success({
    bytes: asStillPicture(withoutTurns(renamed(bytes, hidden), turned), top),
    ...size,
    decodeBytes: size.width * size.height * pixelBytes,
    isPremultiplied,
    isGrey,
    isLimitedGrey,
  });
}

/** The largest picture size in a property: the size of the picture itself, because the others are tiles or thumbnails. */
function largestSize(
  bytes: Uint8Array,
  properties: readonly Box[],
): Pick<ScannedPicture, "width" | "height"> | undefined {
  const view = viewOf(bytes);
  const sizes = properties
    .filter(({ type, start, end }) => type === "ispe" && end - start >= 12)
    .map(({ start }) => ({ width: view.getUint32(start + 4), height: view.getUint32(start + 8) }))
    .filter(({ width, height }) => width > 0 && height > 0);
  return sizes.sort((a, b) => b.width * b.height - a.width * a.height)[0];
}

/**
 * What an `av1C` box says about its item, by section 2.3.3 of the AV1 Codec ISO Media File Format Binding.
 * Transparency is always monochrome.
 */
function isMonochrome(bytes: Uint8Array, start: number): boolean {
  return ((bytes[start + 2] ?? 0) & 0x10) !== 0;
}

/**
 * Colours given by numbers (`nclx`): the first bit of the last byte says whether they use the full range. ISO/IEC
 * 14496-12, section 12.1.5.
 */
function isLimitedRange(bytes: Uint8Array, { type, start }: Box): boolean {
  return (
    type === "colr" && fourCharacters(bytes, start) === "nclx" && ((bytes[start + 10] ?? 0x80) & 0x80) === 0
  );
}

function isProfile(bytes: Uint8Array, { type, start }: Box): boolean {
  return type === "colr" && fourCharacters(bytes, start) !== "nclx";
}

/** Where an `infe` box, version 2 or 3, names its item's type, if that type is to be hidden. */
function hiddenItem(bytes: Uint8Array, { type, start }: Box): number[] {
  const version = bytes[start];
  if (type !== "infe" || version === undefined || version < 2) return [];
  const typeAt = start + (version === 2 ? 8 : 10);
  return HIDDEN_ITEMS.has(fourCharacters(bytes, typeAt)) ? [typeAt] : [];
}

/**
 * The sum of all extents of an `iloc` box, section 8.11.3, in a file of `fileBytes` bytes.
 * @throws RangeError if the box ends before its rows
 */
function sumExtents(view: DataView, fileBytes: number): number | "too many" | "more than there is" {
  const version = view.getUint8(0);
  const sizes = view.getUint16(4);
  const [offsetBytes, lengthBytes, baseBytes] = [sizes >> 12, (sizes >> 8) & 15, (sizes >> 4) & 15] as const;
  const indexBytes = version === 0 ? 0 : sizes & 15;
  const isLong = version >= 2;
  const items = isLong ? view.getUint32(6) : view.getUint16(6);
  if (items > MAX_TABLE_ROWS) return "too many";
  let at = isLong ? 10 : 8;
  let extents = 0;
  let sum = 0;
  for (let item = 0; item < items; item++) {
    at += (isLong ? 4 : 2) + (version === 0 ? 0 : 2) + 2 + baseBytes;
    const count = view.getUint16(at);
    at += 2;
    extents += count;
    if (extents > MAX_TABLE_ROWS) return "too many";
    for (let extent = 0; extent < count; extent++) {
      at += indexBytes + offsetBytes;
      const length =
        lengthBytes === 8 ? Number(view.getBigUint64(at)) : lengthBytes === 4 ? view.getUint32(at) : 0;
      if (length > fileBytes) return "more than there is";
      sum += length;
      at += lengthBytes;
    }
  }
  return sum;
}

/** `bytes` with the types at these offsets replaced by `free`. */
function renamed(bytes: Uint8Array<ArrayBuffer>, typesAt: readonly number[]): Uint8Array<ArrayBuffer> {
  if (typesAt.length === 0) return bytes;
  const copy = bytes.slice();
  for (const typeAt of typesAt) copy.set(FREE, typeAt);
  return copy;
}

/** `bytes` without these associations of properties. */
function withoutTurns(
  bytes: Uint8Array<ArrayBuffer>,
  turns: readonly Association[],
): Uint8Array<ArrayBuffer> {
  if (turns.length === 0) return bytes;
  const copy = bytes.slice();
  for (const { at, length } of turns) copy.fill(0, at, at + length);
  return copy;
}

/** Names a sequence, or an AVIF of a more general brand, by the brand of a still picture. */
function asStillPicture(bytes: Uint8Array<ArrayBuffer>, top: readonly Box[]): Uint8Array<ArrayBuffer> {
  const [first] = top;
  if (first?.type !== "ftyp" || first.end - first.start < 8) return bytes;
  // The major brand, its version, then the compatible brands.
  const brands = [first.start];
  for (let at = first.start + 8; at + 4 <= first.end; at += 4) {
    if (SEQUENCE_BRANDS.has(fourCharacters(bytes, at))) brands.push(at);
  }
  if (brands.length === 1 && fourCharacters(bytes, first.start) === "avif") return bytes;
  const copy = bytes.slice();
  for (const at of brands) copy.set(STILL_BRAND, at);
  return copy;
}
