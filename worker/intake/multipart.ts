/**
 * Splits a multipart form into its parts: RFC 2046, section 5.1, and RFC 7578. Knows nothing of pictures. No I/O. Written
 * here because `formData()` turns a picture without a file name into text, and `@remix-run/multipart-parser` fails on a
 * name that is not UTF-8.
 */

export interface FormPart {
  /** Undefined if the header gives the part no name. */
  readonly name: string | undefined;
  readonly isFile: boolean;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export const MAX_PARTS = 100;
/** Headers of one part: a name and a file name. Longer ones could hold millions of lines or parameters in memory. */
export const MAX_HEADER_BYTES = 16 * 1024;
const DASH = 0x2d;
const LINE_END = new TextEncoder().encode("\r\n");
const BLANK_LINE = new TextEncoder().encode("\r\n\r\n");

/** The boundary between a form's parts, from its `Content-Type`; undefined if that names none. */
export function boundaryOf(contentType: string): string | undefined {
  const [, quoted, plain] = /;\s*boundary\s*=\s*(?:"([^"]+)"|([^\s;"]+))/i.exec(contentType) ?? [];
  return quoted ?? plain;
}

/** The parts in their order, without what precedes the first and follows the last; undefined if the form is malformed. */
export function multipartParts(body: Uint8Array<ArrayBuffer>, boundary: string): FormPart[] | undefined {
  const delimiter = new TextEncoder().encode(`\r\n--${boundary}`);
  const parts: FormPart[] = [];
  // At the very beginning, no line end precedes the delimiter.
  let at = startsWith(body, 0, delimiter.subarray(LINE_END.length))
    ? delimiter.length - LINE_END.length
    : endOf(delimiter, body, 0);
  for (;;) {
    if (at === undefined) return undefined;
    if (body[at] === DASH && body[at + 1] === DASH) return parts;
    const headersAt = find(LINE_END, body, at);
    if (headersAt === undefined) return undefined;
    const bytesAt = endOf(BLANK_LINE, body, headersAt);
    if (bytesAt === undefined || bytesAt - headersAt > MAX_HEADER_BYTES) return undefined;
    if (parts.length === MAX_PARTS) return undefined;
    const end = find(delimiter, body, bytesAt);
    if (end === undefined) return undefined;
    parts.push({
      ...disposition(body.subarray(headersAt, bytesAt)),
      bytes: body.slice(bytesAt, end),
    });
    at = end + delimiter.length;
  }
}

/**
 * What `Content-Disposition` says, with parameters quoted or not, in any case and order: RFC 6266, section 4.1. A file name
 * may be in any encoding, as curl writes it on Windows, because it is not used.
 */
function disposition(headers: Uint8Array): Pick<FormPart, "name" | "isFile"> {
  // A long header may continue on the next line after a blank, as mail programs write it: RFC 822, section 3.1.1.
  const lines = new TextDecoder()
    .decode(headers)
    .replaceAll(/\r\n(?=[ \t])/g, "")
    .split("\r\n");
  const line = lines.find((header) => /^content-disposition\s*:/i.test(header)) ?? "";
  const parameters = new Map(
    Array.from(
      line.matchAll(/;\s*([^\s=;]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))/g),
      ([, name, quoted, plain]) => [
        (name ?? "").toLowerCase(),
        quoted?.replace(/\\(.)/g, "$1") ?? (plain ?? "").trim(),
      ],
    ),
  );
  return { name: parameters.get("name"), isFile: parameters.has("filename") || parameters.has("filename*") };
}

/** Where `needle` ends in `bytes`, searched from `from` on. */
function endOf(needle: Uint8Array, bytes: Uint8Array, from: number): number | undefined {
  const at = find(needle, bytes, from);
  return at === undefined ? undefined : at + needle.length;
}

function find(needle: Uint8Array, bytes: Uint8Array, from: number): number | undefined {
  const [first = 0] = needle;
  for (let at = bytes.indexOf(first, from); at !== -1; at = bytes.indexOf(first, at + 1)) {
    if (startsWith(bytes, at, needle)) return at;
  }
  return undefined;
}

function startsWith(bytes: Uint8Array, at: number, needle: Uint8Array): boolean {
  for (let i = 0; i < needle.length; i++) if (bytes[at + i] !== needle[i]) return false;
  return true;
}
