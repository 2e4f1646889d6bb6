import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createNameTurns } from "../src/name-turns.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("uploads of one name run one after the other, whatever the extension, and others at once", async () => {
  const turns = createNameTurns(2000);
  const gone: string[] = [];
  const take = (name: string) => turns.take("media", name).then(() => void gone.push(name));
  await take("a.png");
  void take("a.jpg");
  void take("a.webp");
  await take("b.png");
  await turns.take("pictures", "a.png");
  expect(gone).toEqual(["a.png", "b.png"]);
  turns.end("media", "a.png");
  await vi.advanceTimersByTimeAsync(0);
  expect(gone).toEqual(["a.png", "b.png", "a.jpg"]);
  turns.end("media", "a.jpg");
  await vi.advanceTimersByTimeAsync(0);
  expect(gone).toEqual(["a.png", "b.png", "a.jpg", "a.webp"]);
});

test("a turn that nobody ends is over by itself, and nobody waits for ever", async () => {
  const turns = createNameTurns(2000);
  const gone: number[] = [];
  for (let n = 0; n < 8; n++) void turns.take("media", "a.png").then(() => void gone.push(n));
  await vi.advanceTimersByTimeAsync(3000);
  expect(gone).toEqual([0, 1]);
  await vi.advanceTimersByTimeAsync(12_000);
  expect(gone).toHaveLength(8);
});
