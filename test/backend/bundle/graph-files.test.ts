import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { graphBytes } from "../../../backend/bundle/graph-files.ts";
import { temporaryFolder } from "../../support/tiny-blip.ts";

test("a graph's size counts its weights, wherever they lie", async () => {
  const graph = join(await temporaryFolder(), "model.onnx");
  await writeFile(graph, Buffer.alloc(10));
  expect(await graphBytes(graph)).toBe(10);
  await writeFile(`${graph}.data`, Buffer.alloc(1000));
  expect(await graphBytes(graph)).toBe(1010);
});
