/** Requests made to hurt, and every kind of picture we claim, each with what may come of it. Made here, never committed as files. */

import { deflateSync, gzipSync } from "node:zlib";
import sharp from "sharp";
import { pngChunk } from "../../backend/picture/blank-picture.ts";
import type { ProblemCode } from "../../shared/problem.ts";
import { acceptedPictures, noise, refusedPictures } from "../support/pictures.ts";

export interface HostileRequest {
  readonly name: string;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly contentType: string;
  /** Query of the request. */
  readonly query?: string;
  /** What may come of it; a caption where decoders are known to be lenient. */
  readonly outcomes: readonly (ProblemCode | "caption")[];
}

const BINARY = "application/octet-stream";
const JSON_TYPE = "application/json";
const BOUNDARY = "b0undary";
const FORM = `multipart/form-data; boundary=${BOUNDARY}`;

/** At least sixty hostile inputs and one of each accepted kind, the same ones every time but for the accepted. */
export async function hostileCorpus(): Promise<HostileRequest[]> {
  const photo = await noise({ width: 96, height: 64, mean: 120, sigma: 40 }).png().toBuffer();
  return [
    ...(await acceptedPictures()).map(({ name, bytes }) => raw(name, bytes, "caption")),
    ...(await refusedPictures()).map(({ name, bytes, code }) => raw(name, bytes, code)),
    ...(await truncations(photo)),
    ...(await damages(photo)),
    ...(await polyglots(photo)),
    ...(await wrappings(photo)),
    ...jsonBodies(photo),
    ...forms(photo),
    ...addresses(),
  ];
}

/** Cut where the header has been read, and a little before the end. */
async function truncations(photo: Buffer): Promise<HostileRequest[]> {
  const formats = ["jpeg", "png", "webp", "avif", "gif", "tiff"] as const;
  const files = await Promise.all(
    formats.map(async (format) => ({ format, file: await sharp(photo).toFormat(format).toBuffer() })),
  );
  return files.flatMap(({ format, file }) => [
    raw(`${format} cut after 16 bytes`, file.subarray(0, 16), "unreadable-image", "too-many-pixels"),
    raw(`${format} cut after 200 bytes`, file.subarray(0, 200), "unreadable-image", "too-many-pixels"),
    raw(`${format} less its last 3 bytes`, file.subarray(0, -3), "unreadable-image", "caption"),
  ]);
}

async function damages(photo: Buffer): Promise<HostileRequest[]> {
  const jpeg = await sharp(photo).jpeg().toBuffer();
  const flipped = Buffer.from(jpeg);
  for (let index = 300; index < flipped.length; index += 97) flipped[index] = (flipped[index] ?? 0) ^ 0x55;
  const badCrc = Buffer.from(photo);
  badCrc.writeUInt32BE(0, 29);
  return [
    raw("JPEG with flipped bits", flipped, "unreadable-image", "caption"),
    raw("PNG with a wrong check sum", badCrc, "unreadable-image"),
    raw("PNG of 0 x 0", png(0, 0, Buffer.alloc(0)), "unreadable-image"),
    raw(
      "PNG whose data is too short",
      png(64, 64, deflateSync(Buffer.alloc(10))),
      "unreadable-image",
      "caption",
    ),
    raw("PNG whose data is not deflated", png(8, 8, Buffer.from("nonsense")), "unreadable-image"),
    raw(
      "PNG with the sides of a bomb",
      png(0x7fffffff, 0x7fffffff, Buffer.alloc(0)),
      "too-many-pixels",
      "unreadable-image",
    ),
    raw(
      "PNG a million pixels wide",
      png(1_000_000, 1, deflateSync(Buffer.alloc(125_001))),
      "too-many-pixels",
      "unreadable-image",
    ),
    raw(
      "GIF of 65535 x 65535",
      latin1("GIF89a\xff\xff\xff\xff\x00\x00\x00,\0\0\0\0\xff\xff\xff\xff\0\x02\x00;"),
      "too-many-pixels",
      "unreadable-image",
    ),
    raw("GIF without a frame", latin1("GIF89a\x01\0\x01\0\0\0\0;"), "unreadable-image"),
    raw("TIFF that points past its end", latin1("II*\0\xff\xff\xff\x7f"), "unreadable-image"),
    raw(
      "TIFF that points at itself",
      latin1("II*\0\x08\0\0\0\x01\0\x08\0\0\0\x08\0\0\0"),
      "unreadable-image",
    ),
    raw("BigTIFF and nothing else", latin1("II+\0\x08\0\0\0"), "unreadable-image"),
    raw(
      "WebP that says it is 4 GB",
      latin1("RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff"),
      "unreadable-image",
    ),
    raw("AVIF whose box is 4 GB", latin1("\xff\xff\xff\xffftypavif\0\0\0\0avif"), "unreadable-image"),
    raw("JPEG of markers alone", Buffer.alloc(5000, "\xff\xd8\xff\xe0", "latin1"), "unreadable-image"),
  ];
}

async function polyglots(photo: Buffer): Promise<HostileRequest[]> {
  const jpeg = await sharp(photo).jpeg().toBuffer();
  const withXmp = await sharp(photo)
    .withExif({ IFD0: { ImageDescription: "<script>alert(1)</script>" } })
    .jpeg()
    .toBuffer();
  return [
    raw("GIF that is JavaScript", latin1("GIF89a=1;alert(1)//"), "unreadable-image", "too-many-pixels"),
    raw("JPEG with a ZIP behind it", Buffer.concat([jpeg, Buffer.from("PK\x03\x04evil")]), "caption"),
    raw(
      "JPEG with PHP in a comment",
      Buffer.concat([jpeg.subarray(0, 2), latin1("\xff\xfe\0\x14<?php exit(1);?> "), jpeg.subarray(2)]),
      "caption",
      "unreadable-image",
    ),
    raw("JPEG with a script in its EXIF", withXmp, "caption"),
    raw(
      "PNG with HTML behind it",
      Buffer.concat([photo, Buffer.from("<script>alert(1)</script>")]),
      "caption",
    ),
    raw("PDF with a JPEG inside", Buffer.concat([Buffer.from("%PDF-1.4\n"), jpeg]), "unsupported-image"),
    raw("HTML with a JPEG inside", Buffer.concat([Buffer.from("<html>"), jpeg]), "not-an-image"),
    raw(
      "SVG that loads a file",
      latin1('<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'),
      "unsupported-image",
    ),
    raw(
      "SVG behind an XML bomb",
      latin1('<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaa">]><svg/>'),
      "unsupported-image",
      "not-an-image",
    ),
    raw("EPS", latin1("%!PS-Adobe-3.0 EPSF-3.0\n"), "unsupported-image"),
    raw(
      "ImageMagick's MVG",
      latin1("push graphic-context\nviewbox 0 0 1 1\nimage over 0,0 0,0 'https://evil.example/'\n"),
      "not-an-image",
    ),
    { ...raw("a picture called a page", jpeg, "caption"), contentType: "text/html" },
  ];
}

async function wrappings(photo: Buffer): Promise<HostileRequest[]> {
  return [
    raw("a gzipped picture", gzipSync(photo), "unsupported-image"),
    raw("base64 where bytes belong", Buffer.from(photo.toString("base64")), "not-an-image"),
    raw(
      "a byte order mark before the picture",
      Buffer.concat([latin1("\xef\xbb\xbf"), photo]),
      "not-an-image",
    ),
    raw("a picture read as UTF-8 on its way", Buffer.from(photo.toString("latin1"), "utf8"), "not-an-image"),
    raw(
      "line ends turned to Unix's",
      latin1(photo.toString("latin1").replaceAll("\r\n", "\n")),
      "not-an-image",
      "unreadable-image",
    ),
    raw("21 MiB of zeros", Buffer.alloc(21 * 1024 * 1024), "image-too-large"),
    { ...raw("an option from elsewhere", photo, "bad-options"), query: "?__proto__=1" },
    { ...raw("an option that is no number", photo, "bad-options"), query: "?num_beams=NaN" },
    { ...raw("a prompt of 10,000 letters", photo, "bad-options"), query: `?prompt=${"a".repeat(10_000)}` },
    {
      ...raw("a language in capitals and rubbish", photo, "unsupported-language"),
      query: "?language=%00%0d%0aX",
    },
  ];
}

function jsonBodies(photo: Buffer): HostileRequest[] {
  const image = photo.toString("base64");
  const json = (
    name: string,
    text: string | Buffer,
    ...outcomes: HostileRequest["outcomes"]
  ): HostileRequest => ({
    name: `JSON: ${name}`,
    body: copy(Buffer.from(text)),
    contentType: JSON_TYPE,
    outcomes,
  });
  const of = (value: unknown) => JSON.stringify(value);
  return [
    json("nothing", "", "empty-body"),
    json("null", "null", "bad-request"),
    json("an array", "[]", "bad-request"),
    json("10,000 arrays deep", "[".repeat(10_000), "bad-request"),
    json("in UTF-16", Buffer.from(of({ image }), "utf16le"), "bad-request"),
    json("in Latin-1", latin1('{"image":"\xe9"}'), "bad-request"),
    json("a prototype", `{"__proto__":{"x":1},"image":"${image}"}`, "bad-request", "bad-options", "caption"),
    json("a number for a picture", of({ image: 5 }), "bad-request"),
    json(
      "URL-safe base64",
      of({ image: image.replaceAll("+", "-").replaceAll("/", "_") }),
      "bad-request",
      "caption",
    ),
    json("base64 with line ends", of({ image: image.replace(/.{76}/g, "$&\r\n") }), "caption"),
    json("base64 cut short", of({ image: image.slice(0, 101) }), "bad-request", "unreadable-image"),
    json("a data URL that is not base64", of({ image: "data:image/png,%89PNG" }), "bad-request"),
    json("a data URL that lies about its type", of({ image: `data:text/html;base64,${image}` }), "caption"),
    json("an option as text", of({ image, num_beams: "two" }), "bad-options"),
    json(
      "an option that nobody knows",
      of({ image, callback: "http://evil.example/" }),
      "bad-request",
      "bad-options",
    ),
  ];
}

function forms(photo: Buffer): HostileRequest[] {
  const part = (disposition: string, content: Buffer) =>
    Buffer.concat([
      Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; ${disposition}\r\n\r\n`),
      content,
      Buffer.from("\r\n"),
    ]);
  const end = Buffer.from(`--${BOUNDARY}--\r\n`);
  const form = (name: string, body: Buffer, ...outcomes: HostileRequest["outcomes"]): HostileRequest => ({
    name: `form: ${name}`,
    body: copy(body),
    contentType: FORM,
    outcomes,
  });
  const image = part('name="image"; filename="a.png"', photo);
  return [
    form("a picture", Buffer.concat([image, end]), "caption"),
    form(
      "a path for a file name",
      Buffer.concat([part('name="image"; filename="../../etc/passwd"', photo), end]),
      "caption",
    ),
    form("without its end", image, "bad-request", "caption", "empty-body"),
    form("without a boundary inside", photo, "bad-request", "empty-body"),
    form(
      "another field",
      Buffer.concat([part('name="photograph"; filename="a.png"', photo), end]),
      "bad-options",
    ),
    form("the field file", Buffer.concat([part('name="file"; filename="a.png"', photo), end]), "caption"),
    form(
      "text for a picture",
      Buffer.concat([part('name="image"', Buffer.from("hello")), end]),
      "bad-request",
    ),
    form(
      "a file for an option",
      Buffer.concat([image, part('name="prompt"; filename="p"', photo), end]),
      "bad-options",
    ),
    {
      ...form("no boundary named", Buffer.concat([image, end]), "bad-request"),
      contentType: "multipart/form-data",
    },
  ];
}

function addresses(): HostileRequest[] {
  return [
    "http://127.0.0.1:8788/",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://017700000001/",
    "http://[::ffff:169.254.169.254]/",
    "http://169.254.169.254/latest/meta-data/",
    "http://localhost/",
    "https://user:password@example.com/",
    "http://example.com:22/",
  ].map((url) => ({
    name: `address ${url}`,
    body: copy(Buffer.from(JSON.stringify({ url }))),
    contentType: JSON_TYPE,
    outcomes: ["url-refused"] as const,
  }));
}

function raw(name: string, bytes: Uint8Array, ...outcomes: HostileRequest["outcomes"]): HostileRequest {
  return { name, body: copy(bytes), contentType: BINARY, outcomes };
}

/** A grey 1-bit PNG with this as its data, right or wrong. */
function png(width: number, height: number, data: Buffer): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([1, 0, 0, 0, 0], 8);
  return Buffer.concat([
    latin1("\x89PNG\r\n\x1a\n"),
    pngChunk("IHDR", header),
    pngChunk("IDAT", data),
    pngChunk("IEND", Buffer.alloc(0)),
  ]);
}

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
const copy = (bytes: Uint8Array): Uint8Array<ArrayBuffer> => Uint8Array.from(bytes);
