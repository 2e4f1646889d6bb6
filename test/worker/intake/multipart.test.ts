import { expect, test } from "vitest";
import { boundaryOf, multipartParts } from "../../../worker/intake/multipart.ts";

const TYPE = "multipart/form-data; boundary=b";
const bytes = (text: string) => new Uint8Array(new TextEncoder().encode(text));
const IMAGE = 'Content-Disposition: form-data; name="image"; filename="p.png"\r\n\r\n';

/** The parts of a body as text: name, whether a file, content. */
const split = (body: string, type = TYPE) =>
  multipartParts(bytes(body), boundaryOf(type) ?? "none")?.map((part) => [
    part.name,
    part.isFile,
    new TextDecoder().decode(part.bytes),
  ]);

test.each([
  ["as a browser writes it", `--b\r\n${IMAGE}x\r\n--b--\r\n`, TYPE],
  ["without a line's end at its own", `--b\r\n${IMAGE}x\r\n--b--`, TYPE],
  ["with a line's end before it", `\r\n--b\r\n${IMAGE}x\r\n--b--`, TYPE],
  ["with text before and after it", `For old readers.\r\n--b\r\n${IMAGE}x\r\n--b--\r\nEnd.\r\n--b\r\n`, TYPE],
  ["with blanks after the boundary", `--b \t\r\n${IMAGE}x\r\n--b--`, TYPE],
  [
    "whose type has more to say",
    `--b\r\n${IMAGE}x\r\n--b--`,
    'Multipart/Form-Data; charset=utf-8; Boundary="b"',
  ],
  [
    "whose type has more to say after it",
    `--b\r\n${IMAGE}x\r\n--b--`,
    "multipart/form-data; boundary=b; charset=utf-8",
  ],
])("a form %s", (_name, body, type) => {
  expect(split(body, type)).toEqual([["image", true, "x"]]);
});

test("parts of any content, with other headers, without any, and empty ones", () => {
  const body = [
    "X-Other: 1\r\ncontent-disposition:form-data; name=a\r\n\r\n\r\n--c\r\n-\r\n",
    "\r\nno headers",
    'Content-Disposition: form-data; name="e"\r\n\r\n',
  ].map((part) => `--b\r\n${part}\r\n`);
  expect(split(`${body.join("")}--b--`)).toEqual([
    ["a", false, "\r\n--c\r\n-\r\n"],
    [undefined, false, "no headers"],
    ["e", false, ""],
  ]);
});

test.each([
  ["another boundary", `--b\r\n${IMAGE}x\r\n--b--`, "multipart/form-data; boundary=c"],
  ["nothing", "", TYPE],
  ["no end", `--b\r\n${IMAGE}x\r\n--b`, TYPE],
  ["headers without an end", "--b\r\nContent-Disposition: form-data", TYPE],
  [
    "a header as long as a picture",
    `--b\r\nContent-Disposition: form-data; name="${"a".repeat(20_000_000)}"\r\n\r\nx\r\n--b--`,
    TYPE,
  ],
  ["too many parts", `${`--b\r\n${IMAGE}x\r\n`.repeat(101)}--b--`, TYPE],
])("a form with %s is not well formed", (_name, body, type) => {
  expect(split(body, type)).toBeUndefined();
});

test("a type that names no boundary has none", () => {
  expect(["multipart/form-data", "multipart/form-data; boundary=", ""].map(boundaryOf)).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test("a header that continues on the next line", () => {
  const folded = 'Content-Disposition: form-data; name="image";\r\n\tfilename="a;\r\n b.png"\r\n\r\n';
  expect(split(`--b\r\n${folded}x\r\n--b--`)).toEqual([["image", true, "x"]]);
});
