import { describe, expect, test } from "vitest";
import { GRAPH_VERSION } from "../../../backend/bundle/bundle.ts";
import { readBlipConfig } from "../../../backend/model/blip/config.ts";
import { readPreprocessing } from "../../../backend/model/blip/preprocessing.ts";
import { openMergedWeights } from "../../../backend/model/build.ts";
import { buildCaptionGraph } from "../../../backend/model/caption-graph.ts";
import type { Graph } from "../../../backend/model/onnx/graph.ts";
import { runFirstStep } from "../../support/first-step.ts";
import {
  largestDifference,
  readTinyReference,
  TINY_ADAPTER,
  TINY_BASE,
  tinyBundle,
} from "../../support/tiny-blip.ts";

describe("the graph against transformers on the same pixels", () => {
  const reference = readTinyReference();

  test.each([
    ["the base", reference.base, undefined],
    ["the merged adapter", reference.adapted, TINY_ADAPTER],
    ["a larger picture than trained (interpolated positions)", reference.larger, undefined],
  ])("%s: encoder within 1e-4, first logits within 1e-3", async (_, expected, adapter) => {
    const { encoder, logits } = await runFirstStep(
      { base: TINY_BASE, adapter },
      expected.pixels,
      expected.shape,
    );
    expect(largestDifference(encoder, expected.encoder)).toBeLessThan(1e-4);
    expect(largestDifference(logits, expected.first_logits)).toBeLessThan(1e-3);
  });
});

test("no loop lies in a branch, where ONNX Runtime would not pack its weights", async () => {
  const config = await readBlipConfig(TINY_BASE.folder);
  const weights = await openMergedWeights({ base: TINY_BASE }, config);
  const graph = buildCaptionGraph(weights, config, await readPreprocessing(TINY_BASE.folder), "fp32");
  expect(operators(graph).filter((type) => type === "Loop")).toHaveLength(2);
  expect(branches(graph).flatMap(operators)).not.toContain("Loop");
});

function operators({ nodes }: Graph): string[] {
  return nodes.map(({ type }) => type);
}

function branches({ nodes }: Graph): Graph[] {
  return nodes
    .filter(({ type }) => type === "If")
    .flatMap(({ attributes }) =>
      Object.values(attributes).flatMap((a) => (a.kind === "graph" ? [a.value] : [])),
    );
}

test("graphs that are written differently have another version: raise GRAPH_VERSION, and write their revisions here", async () => {
  const bundles = await Promise.all(
    (["fp32", "int8", "fp16"] as const).map((dtype) =>
      tinyBundle({ dtype, device: dtype === "fp16" ? "cuda" : "cpu" }),
    ),
  );
  expect([GRAPH_VERSION, ...bundles.map(({ manifest }) => manifest.revision)]).toEqual([
    3,
    "f51d9c297c29b26b",
    "a3c09fe34a5786b9",
    "31ed40235d210c98",
  ]);
});
