import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Which folders each folder may import, itself aside. The longest folder that holds a file counts. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  shared: [],
  client: ["shared"],
  worker: ["shared"],
  // What runs in the browser calls the API as any other page does.
  "worker/desk": ["shared", "client"],
  "worker/docs/browser": ["worker/desk"],
  "backend/bundle": ["shared"],
  "backend/picture": ["shared"],
  "backend/model/weights": ["backend/bundle"],
  "backend/model/onnx": ["backend/bundle", "backend/model/weights"],
  "backend/model/blip": ["backend/bundle", "backend/model/onnx", "backend/model/weights"],
  "backend/model/search": ["backend/model/blip", "backend/model/onnx"],
  "backend/model/triton": ["backend/bundle", "backend/model/onnx"],
  "backend/model/hub": ["shared", "backend/model/weights"],
  "backend/model": [
    "backend/bundle",
    "backend/model/weights",
    "backend/model/onnx",
    "backend/model/blip",
    "backend/model/search",
  ],
  "backend/engines": ["shared", "backend/bundle"],
  "backend/captioner": ["shared", "backend/bundle", "backend/engines", "backend/picture"],
  "backend/telemetry": ["shared", "backend/captioner"],
  "backend/http": [
    "shared",
    "backend/bundle",
    "backend/captioner",
    "backend/engines",
    "backend/picture",
    "backend/telemetry",
  ],
  evaluation: ["shared", "client"],
  site: ["shared"],
};

const IMPORT =
  /(?:\bfrom|\bimport|\bimport\()\s*["'](\.{1,2}\/[^"']+\.ts)["']|new URL\(\s*["'](\.{1,2}\/[^"']+\.ts)["']/g;

/** Every module of ours and the modules it imports, paths from the repository's root. */
const IMPORTS: ReadonlyMap<string, readonly string[]> = new Map(
  globSync("{shared,client,worker,backend,evaluation,site,commands,local,bench}/**/*.ts", { cwd: ROOT })
    .filter((file) => !file.endsWith(".d.ts"))
    .map((file) => {
      const text = readFileSync(join(ROOT, file), "utf8");
      const imported = Array.from(text.matchAll(IMPORT), ([, path, started]) =>
        relative(ROOT, join(ROOT, dirname(file), (path ?? started) as string)),
      );
      return [file, imported];
    }),
);

function roomOf(file: string): string | undefined {
  return Object.keys(MAY_IMPORT)
    .filter((room) => file.startsWith(`${room}/`))
    .sort((a, b) => b.length - a.length)[0];
}

function reachableFrom(entry: string): Set<string> {
  const reached = new Set<string>();
  const visit = (file: string) => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const next of IMPORTS.get(file) ?? []) visit(next);
  };
  visit(entry);
  return reached;
}

describe("the folders", () => {
  test("the modules are read", () => {
    expect(IMPORTS.size).toBeGreaterThan(100);
    expect(reachableFrom("backend/main.ts")).toContain("backend/engines/onnx/engine.ts");
  });

  test("what serves captions needs nothing of what builds models", () => {
    const served = [...reachableFrom("backend/main.ts")];
    expect(served.filter((file) => file.startsWith("backend/model/"))).toEqual([]);
  });

  test("imports go one way between folders", () => {
    const upward = [...IMPORTS].flatMap(([file, imported]) => {
      const room = roomOf(file);
      if (room === undefined) return [];
      const allowed = [room, ...(MAY_IMPORT[room] ?? [])];
      return imported
        .filter((path) => !allowed.includes(roomOf(path) ?? ""))
        .map((path) => `${file} imports ${path}`);
    });
    expect(upward).toEqual([]);
  });

  test("the CMS plugin knows of the client package only, by its name", () => {
    const files = globSync("plugin/payload/src/**/*.{ts,tsx}", { cwd: ROOT });
    expect(files.length).toBeGreaterThan(10);
    const outside = files.filter((file) =>
      [...readFileSync(join(ROOT, file), "utf8").matchAll(IMPORT)].some(
        ([, path]) => path !== undefined && !join(dirname(file), path).startsWith("plugin/payload/src/"),
      ),
    );
    expect(outside).toEqual([]);
  });

  test("no module imports itself by way of others", () => {
    const circles = [...IMPORTS]
      .filter(([file, imported]) => imported.some((path) => path !== file && reachableFrom(path).has(file)))
      .map(([file]) => file);
    expect(circles).toEqual([]);
  });
});
