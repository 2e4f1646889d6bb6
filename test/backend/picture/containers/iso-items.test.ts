import { expect, test } from "vitest";
import { readAssociations } from "../../../../backend/picture/containers/iso-items.ts";

test.each([
  ["one byte", 0, [0x81, 0x02], 1],
  ["two bytes", 1, [0x80, 0x81, 0x00, 0x02], 2],
])("a property that a reader must understand keeps its number: in %s", (_name, flags, associated, length) => {
  // Version and flags, one item with the number 5, and its two properties.
  const box = Uint8Array.of(0, 0, 0, flags, 0, 0, 0, 1, 0, 5, 2, ...associated);
  const found = readAssociations(box, { type: "ipma", start: 0, end: box.length, typeAt: 0 });
  expect(found.get(5)).toEqual([
    { property: length === 1 ? 1 : 0x81, at: 11, length },
    { property: 2, at: 11 + length, length },
  ]);
});
