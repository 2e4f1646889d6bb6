import { describe, expect, test, vi } from "vitest";
import { parseConfig } from "../../worker/config.ts";
import { startEdge } from "./support/edge.ts";
import { useFakeNetwork } from "./support/edge-test.ts";

const network = useFakeNetwork();
const GIVEN = { BACKEND_URLS: "https://a.example.com" };

describe("the configuration", () => {
  test.each([
    [
      { CORS_ORIGINS: "https://cms.example.com/" },
      /CORS_ORIGINS.*without a slash.*got https:\/\/cms\.example\.com\//,
    ],
    [{ CORS_ORIGINS: "cms.example.com" }, /CORS_ORIGINS.*expected \* or an origin/],
    [{ CORS_ORIGIN: "*" }, /CORS_ORIGIN: there is no such variable/],
    [{ REQUEST_TIMEOUT: 60_000 }, /REQUEST_TIMEOUT: there is no such variable/],
    [{ FALLBACK_URLS: "https://a.example.com/" }, /FALLBACK_URLS: expected none of the addresses/],
    [{ ACCESS: "keys", CF_ACCESS_CLIENT_ID: "x" }, /CF_ACCESS_CLIENT_ID: expected together/],
    [{ LOG_LEVEL: "verbose" }, /LOG_LEVEL/],
    [{ REQUEST_TIMEOUT_MS: "3000000000" }, /REQUEST_TIMEOUT_MS: expected at most 2147483647/],
    [{ URL_ALLOWED_HOSTS: "http://media.internal:8080" }, /URL_ALLOWED_HOSTS.*expected host:port/],
    [{ URL_ALLOWED_HOSTS: "media.internal:80,media.internal" }, /URL_ALLOWED_HOSTS\.1: expected host:port/],
    // The fetch of the platform drops them without a word.
    [{ BACKEND_URLS: "https://u:geheim@b.example" }, /^(?!.*geheim).*BACKEND_URLS.*without a user name and/s],
    // workerd would write the whole header into its log.
    [{ BACKEND_SECRET: "geheim-é" }, /^(?!.*geheim).*BACKEND_SECRET: .*ASCII/s],
  ])("%j is refused by name", (wrong, message) => {
    expect(() => parseConfig({ ...GIVEN, ...wrong })).toThrow(message);
  });

  test("addresses may end with a slash, hosts may have capitals, lists may have spaces, and bindings are no variables", () => {
    const config = parseConfig({
      BACKEND_URLS: "https://a.example.com/, https://b.example.com/x/",
      CORS_ORIGINS: "https://cms.example.com, http://localhost:3000",
      URL_ALLOWED_HOSTS: "Media.Internal:8080, [::1]:80",
      CAPTIONS: {},
    });
    expect(config.URL_ALLOWED_HOSTS).toEqual(["media.internal:8080", "[::1]:80"]);
    expect(config.BACKEND_URLS).toEqual(["https://a.example.com", "https://b.example.com/x"]);
    expect(config.CORS_ORIGINS).toEqual(["https://cms.example.com", "http://localhost:3000"]);
  });
});

test("a captioner that refuses our secret is not ready, and the log names it and why", async () => {
  const error = vi.spyOn(console, "error").mockImplementation(() => {});
  network().backend("backend-a.test").refusesSecret = true;
  const response = await startEdge().fetch("/readyz");
  expect(response.status).toBe(503);
  expect(String(error.mock.calls[0])).toMatch(
    /captioner backend-a\.test: not ready, it refuses our BACKEND_SECRET/,
  );
  expect(JSON.stringify(await response.json())).not.toContain("backend-a");
});

test("what stands behind a captioner's address, such as a tenant, is sent on every route", async () => {
  network().backend("backend-a.test");
  await startEdge({ BACKEND_URLS: "http://backend-a.test/?tenant=x" }).fetch("/readyz");
  expect(vi.mocked(fetch).mock.calls.map(([target]) => target)).toEqual([
    "http://backend-a.test/readyz?tenant=x",
    "http://backend-a.test/v1/model?tenant=x",
  ]);
});

test("a hosted endpoint, which has no route for readiness, is ready if it answers", async () => {
  network().pages.set("http://backend-a.test/readyz", () => new Response("{}", { status: 404 }));
  expect((await startEdge({ HOSTED_MODEL: "org/blip@2026" }).fetch("/readyz")).status).toBe(200);
  vi.spyOn(console, "error").mockImplementation(() => {});
  expect((await startEdge().fetch("/readyz")).status).toBe(503);
});
