/** Names a picture's format from its first bytes, so that a refusal can say what arrived. Decodes nothing. */

/** Formats that are captioned, with their media types. */
export const SUPPORTED_FORMATS = {
  JPEG: "image/jpeg",
  PNG: "image/png",
  WebP: "image/webp",
  AVIF: "image/avif",
  GIF: "image/gif",
  TIFF: "image/tiff",
} as const;
export type PictureFormat = keyof typeof SUPPORTED_FORMATS;
/** Their names, for sentences. */
export const ACCEPTED_FORMATS = Object.keys(SUPPORTED_FORMATS).join(", ");

/** Enough for the signature of a format that is captioned. */
const SIGNATURE_BYTES = 12;
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
  ["gimp xcf", "GIMP"],
  ["%PDF-", "PDF"],
  ["%!PS", "PostScript or EPS"],
  ["\xc5\xd0\xd3\xc6", "PostScript or EPS"],
  ["\x1a\x45\xdf\xa3", "Matroska video"],
  ["IIRO", "Camera raw (Olympus ORF)"],
  ["IIRS", "Camera raw (Olympus ORF)"],
  ["MMOR", "Camera raw (Olympus ORF)"],
  ["IIU\0", "Camera raw (Panasonic RW2)"],
  ["FUJIFILMCCD-RAW", "Camera raw (Fujifilm RAF)"],
  ["FOVb", "Camera raw (Sigma X3F)"],
  ["\0MRM", "Camera raw (Minolta MRW)"],
  ["II\xbc", "JPEG XR"],
  ["\x1f\x8b", "gzip"],
  ["PK\x03\x04", "ZIP"],
  ["version https://git-lfs", "Git LFS pointer"],
];

/** A prologue and comments may precede the root element. There is no nested repetition, because this runs on hostile text. */
const SVG = /^(\xef\xbb\xbf)?\s*(<svg[\s>]|<(\?xml|!--|!DOCTYPE svg)[\s\S]*<svg[\s>])/i;

/** The last two are profiles of AVIF: AV1 Image File Format, section 8. */
const AVIF_BRANDS = ["avif", "avis", "MA1A", "MA1B"];
const CAMERA_RAW_BRAND = "crx ";
const HEIC_BRANDS = ["heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "mif2", "msf1"];

export type Recognized =
  | { readonly supported: PictureFormat }
  /** Known by name, but not captioned. */
  | { readonly refused: string };

/** Canon's mark follows a TIFF header. */
const isCr2 = (head: string) => head.startsWith("II*\0") && head.startsWith("CR\x02", 8);

/** The format of a file that begins with `bytes`; undefined if we do not know it. */
export function recognizePicture(bytes: Uint8Array): Recognized | undefined {
  const signature = latin1(bytes.subarray(0, SIGNATURE_BYTES));
  if (isCr2(signature)) return { refused: "Camera raw (Canon CR2)" };
  const supported = SUPPORTED_SIGNATURES.find(([begin]) => signature.startsWith(begin));
  if (supported !== undefined) return { supported: supported[1] };
  if (signature.startsWith("RIFF") && signature.startsWith("WEBP", 8)) return { supported: "WebP" };
  const head = latin1(bytes.subarray(0, SNIFFED_BYTES));
  if (head.startsWith("ftyp", 4)) {
    const format = isoMediaFormat(head);
    return format === "AVIF" ? { supported: format } : { refused: format };
  }
  const refused = REFUSED_SIGNATURES.find(([signature]) => head.startsWith(signature));
  if (refused !== undefined) return { refused: refused[1] };
  return SVG.test(head) ? { refused: "SVG" } : undefined;
}

/** Adds character by character: spread into one call, the bytes would pass through an iterator, which takes ten times as long. */
function latin1(bytes: Uint8Array): string {
  return bytes.reduce((text, byte) => text + String.fromCharCode(byte), "");
}

/** Brands of the `ftyp` box, ISO/IEC 14496-12 section 4.3: they name the format, whichever of them comes first. */
function isoMediaFormat(head: string): "AVIF" | "HEIC" | "MP4" | "Camera raw (Canon CR3)" {
  const boxBytes = (head.charCodeAt(2) << 8) | head.charCodeAt(3);
  const box = head.slice(8, Math.min(boxBytes, head.length));
  const brands = [box.slice(0, 4), ...(box.slice(8).match(/[\s\S]{4}/g) ?? [])];
  if (brands[0] === CAMERA_RAW_BRAND) return "Camera raw (Canon CR3)";
  if (brands.some((brand) => AVIF_BRANDS.includes(brand))) return "AVIF";
  return brands.some((brand) => HEIC_BRANDS.includes(brand)) ? "HEIC" : "MP4";
}
