/** The documentation against what it is about: variables, links, commands. */

import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { unstable_readConfig as readAsWrangler } from "wrangler";
import { BackendVariables } from "../backend/config.ts";
import { withPart } from "../commands/page-part.ts";
import { withSettingsTables } from "../commands/settings-tables.ts";
import { speedChart } from "../commands/speed-chart.ts";
import { SpeedMeasurement, speedByModel, speedTable } from "../commands/speed-measurement.ts";
import * as limits from "../shared/limits.ts";
import { SUPPORTED_FORMATS } from "../shared/picture-format.ts";
import { PROBLEMS } from "../shared/problem.ts";
import { CaptionQuery } from "../shared/schema.ts";
import { WorkerVariables } from "../worker/config.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string) => readFileSync(join(ROOT, path), "utf8");
const DESK = "worker/desk/index.html";
const PAGES = globSync("{*.md,docs/**/*.md,{client,examples,models/*,plugin/*}/README.md}", { cwd: ROOT });

test("the tables of variables are those of the schemas; `npm run docs:write` writes them", () => {
  const page = read("docs/run.md");
  expect(page).toMatch(/\| `MAX_HELD_BYTES` \| `268435456` \|/);
  expect(withSettingsTables(page)).toBe(page);
});

test.each([
  ["worker", WorkerVariables],
  ["backend", BackendVariables],
] as const)(
  "every variable of the %s is read by something: one that is not would be set in vain",
  (folder, { shape }) => {
    const code = globSync(`${folder}/**/*.ts`, { cwd: ROOT, exclude: [`${folder}/config.ts`] })
      .map(read)
      .join("\n");
    expect(Object.keys(shape).filter((name) => !new RegExp(`\\b${name}\\b`).test(code))).toEqual([]);
  },
);

const MACHINES = ["avx512", "amx"];
const speedOn = (machine: string) =>
  SpeedMeasurement.parse(JSON.parse(read(`docs/measurements/speed/${machine}.json`)));

test("tables and charts of speed.md are those of the measurements beside it; `npm run docs:write` writes them", async () => {
  expect(globSync("*.json", { cwd: join(ROOT, "docs/measurements/speed") })).toHaveLength(MACHINES.length);
  const page = read("docs/measurements/speed.md");
  for (const machine of MACHINES) {
    const speed = speedOn(machine);
    expect(read(`docs/measurements/speed/${machine}.svg`)).toBe(await speedChart(speedByModel(speed)));
    expect(page).toContain(`| ${speed.rows[0]?.model} |`);
    expect(withPart(page, machine, speedTable(speed))).toBe(page);
  }
});

test("the README's claims of speed are those of the measurements", () => {
  const timesOn = (machine: string, pixels: number, dtype: string, batch: number) => {
    const { rows } = speedOn(machine);
    const model = `BLIP-base, ${pixels} px`;
    const row = rows.find((row) => row.model === model && row.dtype === dtype && row.batch === batch);
    return row?.times_as_fast.toFixed(1);
  };
  const readme = read("README.md").replaceAll(/\s+/g, " ");
  const table = read("docs/measurements/README.md");
  const int8 = (machine: string, pixels: number, batch: number) => timesOn(machine, pixels, "int8", batch);
  expect(readme).toContain(
    `BLIP-base in int8 runs ${int8("avx512", 224, 1)} times as fast as the fastest of transformers**`,
  );
  expect(readme).toContain(`in batches of 8 ${int8("avx512", 224, 8)} times;`);
  expect(readme).toContain(
    `at 384 pixels it is ${int8("avx512", 384, 1)} and ${int8("avx512", 384, 8)} times.`,
  );
  const amx = [int8("amx", 224, 1), int8("amx", 224, 8), int8("amx", 384, 1)];
  expect(readme).toContain(
    `On cores with AMX it is ${amx.join(", ")} and ${int8("amx", 384, 8)} times as fast.`,
  );
  for (const machine of MACHINES) {
    for (const dtype of ["fp32", "int8"]) {
      const times = (pixels: number, batch: number) => timesOn(machine, pixels, dtype, batch);
      expect(table).toContain(`(${times(224, 1)}x), batch of 8 ${times(224, 8)}x; at 384 px: `);
      expect(table).toContain(`(${times(384, 1)}x), batch of 8 ${times(384, 8)}x`);
    }
  }
});

test("whoever deploys for the first time makes the queues before, which the deployment does not", () => {
  const queues = new Set(
    Array.from(read("wrangler.toml").matchAll(/^queue = "(.*)"$/gm), ([, name]) => name),
  );
  const first = PAGES.flatMap((page) => Array.from(read(page).matchAll(/^```sh\n([\s\S]*?)^```$/gm)))
    .map(([, code = ""]) => code)
    .filter((code) => code.includes("secret put BACKEND_SECRET") && code.includes("wrangler deploy"));
  expect(queues.size).toBe(2);
  expect(first).not.toEqual([]);
  for (const code of first) {
    const before = code.slice(0, code.indexOf("wrangler deploy"));
    for (const name of queues) expect(before).toMatch(new RegExp(`queues create ${name}( |$)`, "m"));
  }
});

test("a line that lists the accepted formats lists all of them", () => {
  const lists = [...PAGES, DESK].flatMap((page) => read(page).match(/^.*JPEG.*AVIF, GIF.*$/gm) ?? []);
  expect(lists.length).toBeGreaterThanOrEqual(4);
  for (const line of lists) {
    expect(Object.keys(SUPPORTED_FORMATS).filter((format) => !line.includes(format))).toEqual([]);
  }
});

test("docs/use.md and the client's page have every option of a caption", () => {
  for (const [page, begin] of [
    ["docs/use.md", "| `"],
    ["client/README.md", "`"],
  ] as const) {
    const text = read(page);
    const names = Object.keys(CaptionQuery.shape);
    expect(names.filter((name) => !text.includes(`${begin}${name}\``))).toEqual([]);
  }
});

test("the desk's fields and docs/use.md have the limits that the API keeps", () => {
  const desk = read(DESK);
  const { MIN_ALT_CHARACTERS: min, MAX_ALT_CHARACTERS: max, DEFAULT_ALT_CHARACTERS: usual } = limits;
  expect(desk).toContain(`id="max-length" type="number" min="${min}" max="${max}" placeholder="${usual}"`);
  expect(desk).toContain(`id="num-beams" type="number" min="1" max="${limits.MAX_NUM_BEAMS}"`);
  expect(desk).toContain(`id="prompt" type="text" maxlength="${limits.MAX_PROMPT_CHARACTERS}"`);
  const page = read("docs/use.md");
  expect(page).toContain(`| \`max_length\` | ${min} to ${max}; ${usual} by default |`);
  expect(page).toContain(`| \`prompt\` | at most ${limits.MAX_PROMPT_CHARACTERS} characters |`);
  expect(page).toContain(`| \`num_beams\` | 1 to ${limits.MAX_NUM_BEAMS} |`);
  expect(page).toContain(`| \`max_new_tokens\` | 1 to ${limits.MAX_NEW_TOKENS} |`);
  const mib = `at most ${limits.MAX_IMAGE_BYTES / 1024 / 1024} MiB`;
  for (const text of [desk, page]) expect(text).toContain(mib);
});

test("docs/use.md says what to do about every status of a problem", () => {
  const table = read("docs/use.md").split("| status | what to do |")[1]?.split("\n\n")[0] ?? "";
  const statuses = Object.values(PROBLEMS).map(({ status }) => String(status));
  expect(statuses.filter((status) => !table.includes(status))).toEqual([]);
});

test("the platform keeps no line of its own for a request: it would have the prompt and the caller's address", () => {
  const { observability } = readAsWrangler({ config: join(ROOT, "wrangler.toml") });
  expect(observability).toMatchObject({ enabled: true, logs: { enabled: true, invocation_logs: false } });
});

test("no page runs TypeScript by the system's own Node, which may be too old for it", () => {
  for (const file of [...PAGES, ...globSync("{examples,plugin/payload/dev}/*.ts", { cwd: ROOT })]) {
    expect(read(file)).not.toMatch(/(?:^|`|\w=\S+ )node [\w./-]+\.ts/m);
  }
});

describe.each(PAGES)("%s", (page) => {
  const text = read(page);

  test("links to what is there", () => {
    const targets = Array.from(text.matchAll(/\]\(([^)\s]+)\)/g), ([, target = ""]) => target);
    const broken = targets.filter((target) => {
      if (/^[a-z]+:/.test(target)) return false;
      const [path = "", anchor] = target.split("#");
      const file = path === "" ? page : join(dirname(page), path);
      if (!existsSync(join(ROOT, file))) return true;
      return anchor !== undefined && !anchorsOf(read(file)).has(anchor);
    });
    expect(broken).toEqual([]);
  });

  test("names commands that there are", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const named = Array.from(text.matchAll(/npm run (?:-s )?([\w:-]+)/g), ([, name = ""]) => name);
    expect(named.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
  });
});

/** As the repository's hosts make them of headings. */
function anchorsOf(text: string): Set<string> {
  return new Set(
    Array.from(text.matchAll(/^#+ (.*)$/gm), ([, heading = ""]) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, "")
        .replaceAll(" ", "-"),
    ),
  );
}
