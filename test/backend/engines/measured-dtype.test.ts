import { chmod, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DTYPE_FILE, type Dtype } from "../../../backend/bundle/bundle.ts";
import { type Measure, openFastest } from "../../../backend/engines/measured-dtype.ts";
import { buildBundle } from "../../../backend/model/build.ts";
import { TINY_BASE, temporaryFolder } from "../../support/tiny-blip.ts";

const HERE = { device: "cpu", threads: 2 } as const;

async function build(dtypes: readonly [Dtype, ...Dtype[]]): Promise<string> {
  const out = join(await temporaryFolder(), "bundle");
  await buildBundle({ base: TINY_BASE, dtypes: [...dtypes], out });
  return out;
}

/** Says these times, and notes what was measured. */
function times(ms: Partial<Record<Dtype, number>>): { measure: Measure; measured: Dtype[] } {
  const measured: Dtype[] = [];
  return {
    measured,
    async measure({ bundle: { manifest } }) {
      measured.push(manifest.dtype);
      return ms[manifest.dtype] ?? Number.NaN;
    },
  };
}

describe("openFastest", () => {
  test("takes what is clearly faster here, or else what is known to be best", async () => {
    const bundle = await build(["fp32", "int8"]);
    const fast = times({ int8: 20, fp32: 10 });
    expect((await openFastest(bundle, HERE, fast.measure)).bundle.manifest.dtype).toBe("fp32");
    expect(fast.measured).toEqual(["int8", "fp32"]);
    const alike = await openFastest(
      await build(["fp32", "int8"]),
      HERE,
      times({ int8: 10, fp32: 9.5 }).measure,
    );
    expect(alike.bundle.manifest.dtype).toBe("int8");
  });

  test("measures once for a machine and the graphs of a bundle", async () => {
    const bundle = await build(["fp32", "int8"]);
    await openFastest(bundle, HERE, times({ int8: 20, fp32: 10 }).measure);
    const again = times({});
    const opened = await openFastest(bundle, HERE, again.measure);
    expect(again.measured).toEqual([]);
    expect(opened.bundle.manifest.dtype).toBe("fp32");
    expect(opened.measured?.ms_a_picture).toEqual({ int8: 20, fp32: 10 });
    const elsewhere = times({ int8: 10, fp32: 20 });
    const moved = await openFastest(bundle, { ...HERE, threads: 1 }, elsewhere.measure);
    expect(moved.bundle.manifest.dtype).toBe("int8");
    const path = join(bundle, DTYPE_FILE);
    const kept = JSON.parse(await readFile(path, "utf8"));
    await writeFile(path, JSON.stringify({ ...kept, revisions: ["other"] }));
    await openFastest(bundle, { ...HERE, threads: 1 }, elsewhere.measure);
    expect(elsewhere.measured).toHaveLength(4);
  });

  test("another version's file, or half a file, is replaced by a new measurement", async () => {
    const bundle = await build(["fp32", "int8"]);
    const path = join(bundle, DTYPE_FILE);
    for (const left of ['{"machine": "AMD', "", '{"dtype": "fp8"}', "[]"]) {
      await writeFile(path, left);
      const again = times({ int8: 20, fp32: 10 });
      expect((await openFastest(bundle, HERE, again.measure)).bundle.manifest.dtype).toBe("fp32");
      expect(again.measured).toEqual(["int8", "fp32"]);
      expect(JSON.parse(await readFile(path, "utf8"))).toMatchObject({ dtype: "fp32" });
    }
  });

  test("two processes that measure at once both take the result that was kept first", async () => {
    const bundle = await build(["fp32", "int8"]);
    const path = join(bundle, DTYPE_FILE);
    for (const left of [undefined, "half a fi"]) {
      await (left === undefined ? rm(path, { force: true }) : writeFile(path, left));
      const slower = times({ int8: 10, fp32: 20 });
      const second = await openFastest(bundle, HERE, async (options) => {
        // The first one starts and ends while this one measures.
        if (slower.measured.length === 0) {
          const first = await openFastest(bundle, HERE, times({ int8: 20, fp32: 10 }).measure);
          expect(first.bundle.manifest.dtype).toBe("fp32");
        }
        return slower.measure(options);
      });
      expect(second.bundle.manifest.dtype).toBe("fp32");
      expect(second.measured?.ms_a_picture).toEqual({ int8: 20, fp32: 10 });
      expect(JSON.parse(await readFile(path, "utf8"))).toMatchObject({ dtype: "fp32" });
    }
  });

  test("containers that share the folder do not collide while they write, although their processes have the same id", async () => {
    const bundle = await build(["fp32", "int8"]);
    for (let round = 0; round < 5; round++) {
      await rm(join(bundle, DTYPE_FILE), { force: true });
      const starts = [10, 30, 10, 30].map((fp32) =>
        openFastest(bundle, HERE, times({ int8: 20, fp32 }).measure),
      );
      const opened = await Promise.all(starts);
      expect(new Set(opened.map((one) => one.bundle.manifest.dtype)).size).toBe(1);
      expect(opened.map(({ notKept }) => notKept)).toEqual([undefined, undefined, undefined, undefined]);
    }
  });

  test("a bundle of one precision is not measured", async () => {
    const none = times({});
    const opened = await openFastest(await build(["fp32"]), HERE, none.measure);
    expect([none.measured, opened.measured]).toEqual([[], undefined]);
  });

  test("a folder that cannot be written to is served all the same, and the result says why nothing was kept", async () => {
    const bundle = await build(["fp32", "int8"]);
    await chmod(bundle, 0o555);
    const opened = await openFastest(bundle, HERE, times({ int8: 20, fp32: 10 }).measure);
    await chmod(bundle, 0o755);
    expect(opened.bundle.manifest.dtype).toBe("fp32");
    // The superuser may write anywhere.
    if (process.getuid?.() !== 0) expect(opened.notKept).toContain("EACCES");
  });

  test("a measured bundle can be replaced by a new one like any other", async () => {
    const bundle = await build(["fp32", "int8"]);
    await openFastest(bundle, HERE, times({ int8: 20, fp32: 10 }).measure);
    await buildBundle({ base: TINY_BASE, dtypes: ["fp32"], out: bundle });
    await expect(readFile(join(bundle, DTYPE_FILE))).rejects.toThrow("ENOENT");
  });

  test("really measures, in processes that end", async () => {
    const { measured } = await openFastest(await build(["fp32", "int8"]), HERE);
    expect(Object.values(measured?.ms_a_picture ?? {}).map((ms) => ms > 0)).toEqual([true, true]);
  });

  test("a graph that is incomplete or missing is refused with what to do", async () => {
    const bundle = await build(["fp32", "int8"]);
    const graph = join(bundle, "model.onnx");
    await truncate(graph, 100_000);
    await expect(openFastest(bundle, HERE)).rejects.toThrow(/A copy broke off.*copy the whole bundle again/);
    await rm(graph);
    await expect(openFastest(bundle, HERE)).rejects.toThrow(/lacks model\.onnx: copy the whole bundle again/);
  });
});
