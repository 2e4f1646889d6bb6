import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { TRITON_MODEL } from "../../backend/bundle/triton-models.ts";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const FILES = [
  "deploy/Dockerfile",
  "deploy/compose.yaml",
  ...readdirSync(new URL("../../deploy/kubernetes", import.meta.url)).map(
    (name) => `deploy/kubernetes/${name}`,
  ),
];
/** Variables that are none of the backend's: of Node, glibc, compose, and the tunnel. */
const FOREIGN = ["MALLOC_ARENA_MAX", "NODE_ENV", "TRITON_REPOSITORY", "TUNNEL_TOKEN"];

const settings = new Set(
  read("backend/config.ts")
    .match(/^ {2}[A-Z][A-Z_]+(?=: )/gm)
    ?.map((name) => name.trim()),
);

/** Names as `NAME: value`, `name: NAME, value`, `ENV NAME=value` and `${NAME`. */
function variablesIn(text: string): string[] {
  const uncommented = text.replace(/^\s*#.*$/gm, "");
  return [
    ...uncommented.matchAll(
      /^\s+([A-Z][A-Z_]{3,}): |name: ([A-Z][A-Z_]+)\b|\b([A-Z][A-Z_]+)=|\$\{([A-Z_]+)/gm,
    ),
  ].map((match) => match.slice(1).find(Boolean) ?? "");
}

describe("deploy/", () => {
  test.each(FILES)("%s sets only what the backend knows", (path) => {
    const unknown = variablesIn(read(path)).filter((name) => !settings.has(name) && !FOREIGN.includes(name));
    expect(unknown).toEqual([]);
  });

  test("the settings it sets are seen at all", () => {
    expect(variablesIn(read("deploy/compose.yaml"))).toContain("TRITON_ENDPOINTS");
    expect(variablesIn(read("deploy/Dockerfile"))).toContain("BUNDLE");
    expect(variablesIn(read("deploy/kubernetes/backend.yaml"))).toContain("DRAIN_TIMEOUT_MS");
  });

  test("every image that is not built here is named by version and digest", () => {
    const images = FILES.flatMap((path) =>
      [...read(path).matchAll(/^(?:FROM|\s+image:) (\S+[:/]\S+)/gm)].map(([, image]) => image),
    );
    expect(images).toHaveLength(6);
    for (const image of images) expect(image).toMatch(/:\d[\w.-]+@sha256:[0-9a-f]{64}$/);
  });

  test("probes ask routes that the backend has", () => {
    const routes = read("backend/http/app.ts");
    const asked = FILES.filter((path) => !path.includes("tunnel"))
      .flatMap((path) => [...read(path).matchAll(/(?:path: |PORT \+ ')(\/\w+)/g)])
      .map(([, route]) => route);
    expect(new Set(asked)).toEqual(new Set(["/readyz", "/healthz"]));
    for (const route of asked) expect(routes).toContain(`"${route}"`);
  });

  test.each([200, 503])(
    "the images' health check asks the port that the server was given, which answers %i",
    async (status) => {
      const server = createServer((_, response) => response.writeHead(status).end()).listen(0, "127.0.0.1");
      onTestFinished(() => void server.close());
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      const checks = [...read("deploy/Dockerfile").matchAll(/^ +CMD (\["node", "-e", .*\])$/gm)];
      expect(checks).toHaveLength(2);
      for (const [, check = ""] of checks) {
        const [, ...args] = JSON.parse(check) as string[];
        const child = spawn(process.execPath, args, { env: { PORT: String(port) }, stdio: "ignore" });
        expect(await once(child, "exit")).toEqual([status === 200 ? 0 : 1, null]);
      }
    },
  );

  test("a pod gets the time that draining takes", () => {
    const manifest = read("deploy/kubernetes/backend.yaml");
    const number = (pattern: RegExp) => Number(pattern.exec(manifest)?.[1]);
    const grace = number(/terminationGracePeriodSeconds: (\d+)/);
    const drain = number(/DRAIN_TIMEOUT_MS, value: "(\d+)"/) / 1000;
    const pause = number(/command: \[sleep, "(\d+)"\]/);
    expect(grace).toBeGreaterThan(drain + pause);
  });

  test("autoscaling reads a metric that the backend writes", () => {
    const [, metric] = /metric: \{ name: (\w+) \}/.exec(read("deploy/kubernetes/autoscaling.yaml")) ?? [];
    expect(read("backend/telemetry/metrics.ts")).toContain(`"${metric}"`);
  });

  test("no service of compose has more than the backend has: no capability, no writable root, no new privilege", () => {
    const services = read("deploy/compose.yaml")
      .split(/^ {2}(?=[\w-]+:$)/m)
      .slice(1);
    expect(services.length).toBe(4);
    for (const service of services) {
      for (const setting of ["read_only: true", "cap_drop: [ALL]", "no-new-privileges:true", "pids_limit:"]) {
        expect(service, setting).toContain(setting);
      }
    }
  });

  test("every pod that listens has a policy, and no secret stands on a command line", () => {
    const policies = read("deploy/kubernetes/network.yaml");
    for (const app of ["backend", "cloudflared"]) expect(policies).toContain(`matchLabels: { app: ${app} }`);
    for (const path of [...FILES, "docs/deploy.md"]) expect(read(path)).not.toMatch(/--token|--from-literal/);
  });

  test("compose's backend calls the model that model:build names", () => {
    expect(read("deploy/compose.yaml")).not.toContain("TRITON_MODEL");
    expect(TRITON_MODEL).toBe("caption");
  });
});
