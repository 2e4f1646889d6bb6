import { expect, test } from "vitest";
import { isTransparencyTurnedAlike } from "../../../../backend/picture/containers/iso-transparency.ts";

const ALPHA = "\0\0\0\0urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0";

/** Whether transparency that is turned by so many quarters, or not at all, fits a picture that is turned thus. */
function isAlike(ofPicture: number | undefined, ofTransparency: number | undefined): boolean {
  const bytes = Uint8Array.from(
    Buffer.from(`${ALPHA}${[0, 1, 2, 3].map((q) => String.fromCharCode(q)).join("")}`),
  );
  const properties = [
    { type: "auxC", start: 0, end: ALPHA.length, typeAt: 0 },
    ...[0, 1, 2, 3].map((quarters) => {
      const start = ALPHA.length + quarters;
      return { type: "irot", start, end: start + 1, typeAt: 0 };
    }),
  ];
  const has = (...numbers: readonly (number | undefined)[]) =>
    numbers.flatMap((property) => (property === undefined ? [] : [{ property, at: 0, length: 1 as const }]));
  const turn = (quarters: number | undefined) => (quarters === undefined ? undefined : quarters + 2);
  return isTransparencyTurnedAlike(bytes, {
    properties,
    associations: new Map([
      [1, has(turn(ofPicture))],
      [2, has(1, turn(ofTransparency))],
    ]),
    references: [{ type: "auxl", from: 2, to: [1] }],
  });
}

test.each([
  [1, 1, true],
  [1, undefined, false],
  [undefined, 3, false],
  [1, 2, false],
  [0, undefined, true],
  [undefined, 0, true],
])(
  "a picture turned by %s quarters with transparency turned by %s: %s",
  (ofPicture, ofTransparency, expected) => {
    expect(isAlike(ofPicture, ofTransparency)).toBe(expected);
  },
);
