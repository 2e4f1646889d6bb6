import { expect, test } from "vitest";
import { BackendVariables, ConfigError, parseConfig, printableConfig } from "../../backend/config.ts";

const SECRET = "a-secret-of-enough-length";

test("an empty environment is a loopback server with the embedded model", () => {
  expect(parseConfig({})).toMatchObject({ HOST: "127.0.0.1", PORT: 8788, BUNDLE: "bundles/embedded" });
  expect(parseConfig({ PORT: "", BACKEND_SECRET: "" }).PORT).toBe(8788);
});

test("every wrong value is refused by its name", () => {
  expect.assertions(4);
  try {
    parseConfig({ PORT: "eighty", MAX_BATCH_SIZE: "0", LOG_LEVEL: "loud" });
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    for (const name of ["PORT", "MAX_BATCH_SIZE", "LOG_LEVEL"]) expect(String(error)).toContain(name);
  }
});

test.each(["REQUEST_TIMEOUT_MS", "DRAIN_TIMEOUT_MS"])(
  "%s is no longer than a timer waits: past that it would be over at once",
  (name) => {
    expect(() => parseConfig({ [name]: "3000000000" })).toThrow(`${name}: expected at most 2147483647`);
  },
);

test("no more captions are remembered than a Map can hold: the start would run out of memory", () => {
  expect(() => parseConfig({ RECENT_CAPTIONS: "100000000" })).toThrow(
    /RECENT_CAPTIONS: expected at most 16777216/,
  );
});

test("more threads than any machine has are refused before they are started", () => {
  expect(() => parseConfig({ THREADS: "100000" })).toThrow(/THREADS: expected at most 1024/);
});

test("blanks around the collector's address are ignored", () => {
  const { OTEL_EXPORTER_OTLP_ENDPOINT } = parseConfig({
    OTEL_EXPORTER_OTLP_ENDPOINT: " http://a.test:4318\n",
  });
  expect(OTEL_EXPORTER_OTLP_ENDPOINT).toBe("http://a.test:4318");
});

test.each(["0.0.0.0", "::", "10.0.0.4", "example.org"])("a secret is required to listen on %s", (HOST) => {
  expect(() => parseConfig({ HOST })).toThrow(/BACKEND_SECRET.*required/s);
  expect(parseConfig({ HOST, BACKEND_SECRET: SECRET }).HOST).toBe(HOST);
});

test.each(["127.0.0.1", "127.9.9.9", "::1", "localhost"])("none is required on %s", (HOST) => {
  expect(parseConfig({ HOST }).BACKEND_SECRET).toBeUndefined();
});

test("no secret is ever printed", () => {
  const secrets = Object.keys(BackendVariables.shape).filter((name) =>
    /SECRET|TOKEN|KEY|PASSWORD/.test(name),
  );
  expect(secrets).toContain("BACKEND_SECRET");
  const config = parseConfig(Object.fromEntries(secrets.map((name) => [name, SECRET])));
  expect(JSON.stringify(printableConfig(config))).not.toContain(SECRET);
  expect(() => parseConfig({ BACKEND_SECRET: "short-secret" })).toThrow(
    /^(?!.*short-secret).*BACKEND_SECRET/s,
  );
});

test("blanks around a secret are ignored, because no header can carry them; characters that a header cannot have are refused without naming them", () => {
  expect(parseConfig({ BACKEND_SECRET: `${SECRET}\n` }).BACKEND_SECRET).toBe(SECRET);
  expect(() => parseConfig({ BACKEND_SECRET: `${SECRET}-é` })).toThrow(
    /^(?!.*a-secret).*BACKEND_SECRET: .*ASCII/s,
  );
  expect(() => parseConfig({ BACKEND_SECRET: `${"a".repeat(8)}${" ".repeat(8)}` })).toThrow(/16 characters/);
});

test("an address's credentials are not printed", () => {
  const config = parseConfig({ OTEL_EXPORTER_OTLP_ENDPOINT: "https://me:hidden@collector.test:4318/x" });
  expect(printableConfig(config)).toMatchObject({
    OTEL_EXPORTER_OTLP_ENDPOINT: "https://collector.test:4318/x",
  });
});

test("a Triton engine needs to know where its servers are", () => {
  expect(() => parseConfig({ ENGINE: "triton" })).toThrow(/TRITON_ENDPOINTS: required/);
  expect(() => parseConfig({ ENGINE: "triton", TRITON_ENDPOINTS: "gpu-1" })).toThrow(/HOST:PORT/);
  expect(
    parseConfig({ ENGINE: "triton", TRITON_ENDPOINTS: "gpu-1:8001,[::1]:8001,[::ffff:10.0.0.1]:8001" })
      .TRITON_ENDPOINTS,
  ).toEqual(["gpu-1:8001", "[::1]:8001", "[::ffff:10.0.0.1]:8001"]);
});
