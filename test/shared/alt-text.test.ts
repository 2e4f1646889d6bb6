import { describe, expect, test } from "vitest";
import { createRandom } from "../../evaluation/random.ts";
import { toAltText } from "../../shared/alt-text.ts";

const alt = (caption: string, maxCharacters?: number) => toAltText(caption, maxCharacters).alt;

describe("toAltText", () => {
  test.each([
    ["a dog runs on the beach", "A dog runs on the beach"],
    ["a picture of a dog", "A dog"],
    ["this is an image of two children", "Two children"],
    ["A photograph showing a photo of a cat", "A cat"],
    ["a picture frame on a wall", "A picture frame on a wall"],
    ["  a   dog \n runs ", "A dog runs"],
    ["a a dog", "A dog"],
    ["a dog and a dog and a dog", "A dog and a dog"],
    ["", ""],
  ])("%j becomes %j", (caption, expected) => {
    expect(alt(caption)).toBe(expected);
  });

  test("cuts on a word edge, and leaves no word at the end that leads nowhere", () => {
    expect(alt("a man in a red shirt is standing next to the river", 40)).toBe(
      "A man in a red shirt is standing",
    );
    expect(alt("a boy jumps", 20)).toBe("A boy jumps");
    expect(alt("a boy jumps into water today", 22)).toBe("A boy jumps into water");
    expect(alt("a boy jumps into water today", 21)).toBe("A boy jumps into");
    expect(alt("x".repeat(60), 20)).toBe(`X${"x".repeat(19)}`);
  });

  test("never exceeds its maximum", () => {
    const random = createRandom(1);
    const long = "a very long description of many things ".repeat(9).replace(/many/g, () => `m${random()}`);
    for (let max = 20; max <= 300; max += 7) expect(alt(long, max).length).toBeLessThanOrEqual(max);
  });

  test("flags loops of words and of syllables, not ordinary repetition", () => {
    expect(toAltText("a dog a dog a dog a dog").looping).toBe(true);
    expect(toAltText("a gifefefe").looping).toBe(true);
    expect(toAltText("a a dog").looping).toBe(false);
    expect(toAltText("a river in mississippi").looping).toBe(false);
  });
});
