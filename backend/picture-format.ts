/** Names a picture's format from its first bytes, so that a refusal can say what arrived. Decodes nothing. */

import { failure, type Result, success } from "./result.ts";

export const SUPPORTED_FORMATS = ["JPEG", "PNG", "WebP", "AVIF", "GIF", "TIFF"] as const;
export type PictureFormat = (typeof SUPPORTED_FORMATS)[number];

/** Enough for every signature, a byte order mark and an XML prologue. */
const SNIFFED_BYTES = 1024;

/** What a file begins with, as Latin-1 text. */
const SUPPORTED_SIGNATURES: readonly (readonly [string, PictureFormat])[] = [
  ["\xff\xd8\xff", "JPEG"],
  ["\x89PNG\r\n\x1a\n", "PNG"],
  ["GIF87a", "GIF"],
  ["GIF89a", "GIF"],
  ["II*\0", "TIFF"],
  ["MM\0*", "TIFF"],
  ["II+\0", "TIFF"],
  ["MM\0+", "TIFF"],
];

const REFUSED_SIGNATURES: readonly (readonly [string, string])[] = [
  ["BM", "BMP"],
  ["\0\0\x01\0", "ICO"],
  ["\xff\x0a", "JPEG XL"],
  ["\0\0\0\x0cJXL ", "JPEG XL"],
  ["\0\0\0\x0cjP  ", "JPEG 2000"],
  ["\xff\x4f\xff\x51", "JPEG 2000"],
  ["8BPS", "Photoshop"],
  ["%PDF-", "PDF"],
  ["\x1a\x45\xdf\xa3", "Matroska video"],
  ["\x1f\x8b", "gzip"],
  ["PK\x03\x04", "ZIP"],
];

/** A prologue and comments may stand before the root element. No nested repetition: this runs on hostile text. */
const SVG = /^(\xef\xbb\xbf)?\s*(<svg[\s>]|<(\?xml|!--|!DOCTYPE svg)[\s\S]*<svg[\s>])/i;

const AVIF_BRANDS = ["avif", "avis"];
const HEIC_BRANDS = ["heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "mif2", "msf1"];

/** The format of an ISO base media file (its `ftyp` box): the brands name it, whichever of them comes first. */
function isoMediaFormat(head: string): "AVIF" | "HEIC" | "MP4" {
  const boxBytes = Buffer.from(head.slice(0, 4), "latin1").readUInt32BE();
  const box = head.slice(8, Math.min(boxBytes, head.length));
  const brands = [box.slice(0, 4), ...(box.slice(8).match(/[\s\S]{4}/g) ?? [])];
  if (brands.some((brand) => AVIF_BRANDS.includes(brand))) return "AVIF";
  return brands.some((brand) => HEIC_BRANDS.includes(brand)) ? "HEIC" : "MP4";
}

function sniff(head: string): { supported: PictureFormat } | { refused: string } | undefined {
  const supported = SUPPORTED_SIGNATURES.find(([signature]) => head.startsWith(signature));
  if (supported !== undefined) return { supported: supported[1] };
  if (head.startsWith("RIFF") && head.startsWith("WEBP", 8)) return { supported: "WebP" };
  if (head.startsWith("ftyp", 4)) {
    const format = isoMediaFormat(head);
    return format === "AVIF" ? { supported: format } : { refused: format };
  }
  const refused = REFUSED_SIGNATURES.find(([signature]) => head.startsWith(signature));
  if (refused !== undefined) return { refused: refused[1] };
  return SVG.test(head) ? { refused: "SVG" } : undefined;
}

/**
 * The format of `bytes` if it is one we decode.
 * Fails with `empty-body`, `unsupported-image` (a format known by name, but not decoded here) or `not-an-image`.
 */
export function pictureFormat(bytes: Uint8Array): Result<PictureFormat> {
  if (bytes.length === 0) return failure("empty-body", "Send the bytes of a picture as the body.");
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, SNIFFED_BYTES));
  const format = sniff(head.toString("latin1"));
  const accepted = SUPPORTED_FORMATS.join(", ");
  if (format === undefined) {
    return failure("not-an-image", `The bytes are no picture that is known here. Accepted: ${accepted}.`);
  }
  return "supported" in format
    ? success(format.supported)
    : failure("unsupported-image", `${format.refused} is not supported. Accepted: ${accepted}.`);
}
