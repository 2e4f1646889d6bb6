import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { downloadFile } from "../../../../backend/model/hub/download.ts";
import { temporaryFolder } from "../../../support/tiny-blip.ts";

/** Downloads ten bytes through connections of which each breaks off after so many. */
async function downloadInPieces(pieces: readonly number[]): Promise<Buffer> {
  const bytes = Buffer.from("0123456789");
  const path = join(await temporaryFolder(), "file");
  const left = [...pieces];
  await downloadFile({
    file: {
      path: "file",
      size: bytes.length,
      digest: { algorithm: "sha256", hex: createHash("sha256").update(bytes).digest("hex") },
    },
    path,
    read: async (offset) =>
      new ReadableStream({
        start(controller) {
          const piece = bytes.subarray(offset, offset + (left.shift() ?? 0));
          if (piece.length > 0) controller.enqueue(piece);
          controller.close();
        },
      }),
    onBytes: () => {},
    sleep: async () => {},
  });
  return readFile(path);
}

test("goes on however often the connection breaks off, as long as each brings something", async () => {
  expect(String(await downloadInPieces(Array(10).fill(1)))).toBe("0123456789");
});

test("gives up when one connection after the other brings nothing", async () => {
  expect(String(await downloadInPieces([5, 0, 0, 5]))).toBe("0123456789");
  await expect(downloadInPieces([5, 0, 0, 0, 5])).rejects.toThrow("5 of 10 bytes are kept");
});
