import { describe, expect, test } from "vitest";
import { toAltText, toCaption } from "../../shared/alt-text.ts";

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

  test("cuts on a word edge and leaves no word that leads nowhere", () => {
    expect(alt("a man in a red shirt is standing next to the river", 40)).toBe(
      "A man in a red shirt is standing",
    );
    expect(alt("a boy jumps", 20)).toBe("A boy jumps");
    expect(alt("x".repeat(60), 20)).toBe(`X${"x".repeat(19)}`);
  });

  test("never exceeds its maximum", () => {
    const long = "a very long description of many things "
      .repeat(9)
      .replace(/many/g, () => `m${Math.random()}`);
    for (let max = 20; max <= 300; max += 7) expect(alt(long, max).length).toBeLessThanOrEqual(max);
  });

  test("flags loops of words and of syllables, not ordinary repetition", () => {
    expect(toAltText("a dog a dog a dog a dog").looping).toBe(true);
    expect(toAltText("a gifefefe").looping).toBe(true);
    expect(toAltText("a a dog").looping).toBe(false);
    expect(toAltText("a river in mississippi").looping).toBe(false);
  });
});

describe("toCaption", () => {
  const model = { id: "m", revision: "r" };
  const make = (caption: string, score: number, reviewBelow: number | undefined = 0.6) =>
    toCaption({
      sha256: "0".repeat(64),
      generated: { caption, score, model },
      cached: false,
      maxLength: undefined,
      reviewBelow,
    });

  test("asks for review under the threshold, on loops and on nothing said", () => {
    expect(make("a dog", 0.6).needs_review).toBe(false);
    expect(make("a dog", 0.59).needs_review).toBe(true);
    expect(make("a dog a dog a dog", 0.9).needs_review).toBe(true);
    expect(make("", 0.9).needs_review).toBe(true);
  });

  test("asks for review of everything that a model without a threshold says", () => {
    const generated = { caption: "a dog", score: 1, model };
    const caption = toCaption({
      sha256: "0".repeat(64),
      generated,
      cached: false,
      maxLength: undefined,
      reviewBelow: undefined,
    });
    expect(caption.needs_review).toBe(true);
  });
});
