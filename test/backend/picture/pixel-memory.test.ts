import { expect, test } from "vitest";
import { createPixelMemory } from "../../../backend/picture/pixel-memory.ts";

test("returned memory is used again, and no more of it is kept than configured", () => {
  const memory = createPixelMemory({ size: 4 }, { most: 2 });
  const taken = [memory.take(), memory.take(), memory.take()];
  expect(new Set(taken).size).toBe(3);
  expect(taken.map(({ length }) => length)).toEqual([48, 48, 48]);
  for (const pixels of taken) memory.giveBack(pixels);
  const again = [memory.take(), memory.take(), memory.take()];
  expect(again.filter((pixels) => taken.includes(pixels))).toHaveLength(2);
});
