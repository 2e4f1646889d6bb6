import { expect, test } from "vitest";
import {
  ALT_CHARACTERS,
  CAPTIONED_MIME_TYPES,
  MAX_PICTURE_BYTES,
  MAX_PICTURE_PIXELS,
} from "../../plugin/payload/src/limits.ts";
import {
  DEFAULT_ALT_CHARACTERS,
  MAX_ALT_CHARACTERS,
  MAX_IMAGE_BYTES,
  MAX_IMAGE_PIXELS,
  MIN_ALT_CHARACTERS,
} from "../../shared/limits.ts";
import { recognizePicture, SUPPORTED_FORMATS } from "../../shared/picture-format.ts";
import { acceptedPictures, refusedPictures } from "../support/pictures.ts";

test("knows every accepted kind by its first bytes, whatever its name says", async () => {
  const known = new Set<string>();
  for (const { name, bytes } of await acceptedPictures()) {
    const [format = ""] = /^\w+/.exec(name) ?? [];
    expect([name, recognizePicture(bytes)]).toEqual([name, { supported: format }]);
    known.add(format);
  }
  expect(known).toEqual(new Set(Object.keys(SUPPORTED_FORMATS)));
});

test("the CMS plugin, which may not import them, has the same formats and limits", () => {
  expect(CAPTIONED_MIME_TYPES).toEqual(new Set(Object.values(SUPPORTED_FORMATS)));
  expect([MAX_PICTURE_BYTES, MAX_PICTURE_PIXELS]).toEqual([MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS]);
  const [min, max, usual] = [MIN_ALT_CHARACTERS, MAX_ALT_CHARACTERS, DEFAULT_ALT_CHARACTERS];
  expect(ALT_CHARACTERS).toEqual({ min, max, usual });
});

test("names what it refuses, and is not fooled by files that only begin like text", async () => {
  for (const { name, bytes, code, says } of await refusedPictures()) {
    const recognized = recognizePicture(bytes);
    if (code === "unsupported-image") expect([name, recognized]).toEqual([name, { refused: says }]);
    if (code === "not-an-image") expect([name, recognized]).toEqual([name, undefined]);
  }
});

test.each([
  ["nothing", ""],
  ["half a signature", "\x89PN"],
  ["RIFF of another kind", "RIFF\0\0\0\0WAVE"],
  ["a word that begins with svg", "<svgx>"],
])("%s is no picture", (_name, text) => {
  expect(recognizePicture(Uint8Array.from(Buffer.from(text, "latin1")))).toBeUndefined();
});

test.each([
  ["II*\0\x10\0\0\0CR\x02\0", "Canon CR2"],
  ["\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "Canon CR3"],
  ["IIRO\x08\0\0\0", "Olympus ORF"],
  ["IIU\0\x18\0\0\0", "Panasonic RW2"],
  ["FUJIFILMCCD-RAW 0201", "Fujifilm RAF"],
])("camera raw %j is called %s", (text, name) => {
  const recognized = recognizePicture(Uint8Array.from(Buffer.from(text, "latin1")));
  expect(recognized).toEqual({ refused: `Camera raw (${name})` });
});

test.each([
  ["%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript or EPS"],
  ["\xc5\xd0\xd3\xc6\x20\0\0\0", "PostScript or EPS"],
  ["gimp xcf v011\0", "GIMP"],
  ["version https://git-lfs.github.com/spec/v1\noid sha256:", "Git LFS pointer"],
])("what an archive holds beside pictures, %j, is called %s", (text, name) => {
  expect(recognizePicture(Uint8Array.from(Buffer.from(text, "latin1")))).toEqual({ refused: name });
});

test.each(["MA1A", "MA1B"])("a file that names only the AVIF profile %s is an AVIF", (brand) => {
  const text = `\0\0\0\x18ftyp${brand}\0\0\0\0mif1miaf`;
  expect(recognizePicture(Uint8Array.from(Buffer.from(text, "latin1")))).toEqual({ supported: "AVIF" });
});
