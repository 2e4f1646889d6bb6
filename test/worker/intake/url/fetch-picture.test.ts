import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { MAX_IMAGE_BYTES } from "../../../../shared/limits.ts";
import { FailureError } from "../../../../shared/problem.ts";
import { refuseAddress } from "../../../../worker/intake/url/address-policy.ts";
import { BusyHostError, fetchPicture } from "../../../../worker/intake/url/fetch-picture.ts";
import { type FakeNetwork, fakeNetwork } from "../../support/backends.ts";
import { startEdge } from "../../support/edge.ts";
import { newPicture } from "../../support/pictures.ts";

/** For what is about something else than time. */
const AMPLE_MS = 60_000;

describe("refuseAddress", () => {
  test.each([
    "ftp://example.com/a",
    "file:///etc/passwd",
    "http://user:secret@example.com/",
    "http://example.com:8080/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://a.localhost/",
    "http://printer.local/",
    "http://metadata.google.internal/",
    "http://intranet/",
    "http://127.0.0.1/",
    "http://127.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://0/",
    "http://10.1.2.3/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",
    "http://192.0.2.1/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::a00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "http://[2001:db8::1]/",
    "http://１２７.０.０.１/",
    "http://127。0。0。1/",
    "http://%31%32%37.0.0.1/",
    "http://[::7f00:1]/",
    "http://[::10.0.0.1]/",
    "http://[::8.8.8.8]/",
    "http://[::1:0:0:1]/",
    "http://[4000::1]/",
    "http://[5f00::1]/",
    "http://[fec0::1]/",
    "http://localhost.localdomain/",
    "http://kubernetes.default.svc/",
    "http://api.default.svc.cluster.local/",
    "http://api.default.svc.cluster/",
    "http://router.lan../",
    "http://localhost../",
    "http://example..com/",
    "http://.example.com/",
  ])("refuses %s", (address) => {
    expect(refuseAddress(new URL(address), [])?.code).toBe("url-refused");
  });

  test.each([
    "https://example.com/a.jpg",
    "https://example.com/a",
    "http://example.com./a",
    "http://1.1.1.1/",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/",
    "http://8.8.8.8:80/",
  ])("allows %s", (address) => {
    expect(refuseAddress(new URL(address), [])).toBeUndefined();
  });

  test("a configured host passes, on its port only", () => {
    expect(refuseAddress(new URL("http://127.0.0.1:9000/a"), ["127.0.0.1:9000"])).toBeUndefined();
    expect(refuseAddress(new URL("http://127.0.0.1:9001/a"), ["127.0.0.1:9000"])?.code).toBe("url-refused");
  });
});

describe("fetchPicture", () => {
  let network: FakeNetwork;
  beforeEach(() => {
    network = fakeNetwork();
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  const redirect =
    (location: string, status = 302) =>
    () =>
      new Response(null, { status, headers: { location } });
  const options = { fetch: (input: RequestInfo, init?: RequestInit) => fetch(input, init), allowedHosts: [] };
  const failureOf = async (address: string) => {
    const error = await fetchPicture(address, { ...options, timeoutMs: AMPLE_MS } as never).catch(
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof FailureError)) throw new Error("expected a failure");
    return error.failure;
  };

  test("follows three redirects and no more", async () => {
    const picture = newPicture();
    network.pages.set("https://a.example.com/0", () => new Response(picture));
    for (let hop = 1; hop <= 4; hop++) {
      network.pages.set(`https://a.example.com/${hop}`, redirect(`/${hop - 1}`));
    }
    const found = await fetchPicture("https://a.example.com/3", { ...options, timeoutMs: AMPLE_MS } as never);
    expect(found.bytes).toEqual(picture);
    expect(await failureOf("https://a.example.com/4")).toMatchObject({ code: "url-unreachable" });
  });

  test("checks every hop", async () => {
    network.pages.set("https://a.example.com/", redirect("http://169.254.169.254/latest/"));
    expect(await failureOf("https://a.example.com/")).toMatchObject({ code: "url-refused" });
  });

  test("asks for the bytes as they are, because the size of coded ones says nothing", async () => {
    let asked = new Headers();
    await fetchPicture("https://a.example.com/", {
      fetch: async (_input, init) => {
        asked = new Headers(init?.headers);
        return new Response(newPicture());
      },
      allowedHosts: [],
      timeoutMs: AMPLE_MS,
    });
    expect(asked.get("accept-encoding")).toBe("identity");
  });

  test.each([
    ["a redirect", { status: 302, headers: { location: "/again" } }],
    ["a refusal", { status: 404 }],
  ])("cancels the body of %s, because it would keep its connection", async (_name, init) => {
    let cancelled = 0;
    let asked = 0;
    const fetched = fetchPicture("https://a.example.com/", {
      fetch: async () => {
        asked += 1;
        const body = new ReadableStream({
          cancel() {
            cancelled += 1;
          },
        });
        return new Response(body, init);
      },
      allowedHosts: [],
      timeoutMs: AMPLE_MS,
    });
    await expect(fetched).rejects.toMatchObject({ failure: { code: "url-unreachable" } });
    expect(cancelled).toBe(asked);
  });

  test("passes nothing on of what the other side says", async () => {
    network.pages.set("https://a.example.com/", () => new Response("secret page", { status: 401 }));
    expect(JSON.stringify(await failureOf("https://a.example.com/"))).not.toMatch(/secret|401/);
    expect((await failureOf("https://unknown.example.com/")).code).toBe("url-unreachable");
  });

  test("cuts off a body that never ends, by size", async () => {
    const chunk = new Uint8Array(1024 * 1024);
    network.pages.set(
      "https://a.example.com/",
      () => new Response(new ReadableStream({ pull: (controller) => controller.enqueue(chunk) })),
    );
    expect((await failureOf("https://a.example.com/")).code).toBe("image-too-large");
  });

  test("says that a picture which breaks off was not fetched", async () => {
    const broken = new ReadableStream({
      start(controller) {
        controller.enqueue(newPicture());
        controller.error(new Error("reset by peer at 10.0.0.1"));
      },
    });
    network.pages.set("https://a.example.com/", () => new Response(broken));
    expect(await failureOf("https://a.example.com/")).toEqual({
      code: "url-unreachable",
      detail: "The picture was not fetched: it could not be read.",
    });
  });

  test("the wait for room does not count against the address's time limit", async () => {
    const picture = newPicture();
    const bodyAfter = (ms: number, signal: AbortSignal | null | undefined) =>
      new ReadableStream<Uint8Array>(
        {
          start(controller) {
            signal?.addEventListener("abort", () => controller.error(signal.reason));
          },
          async pull(controller) {
            await scheduler.wait(ms);
            if (signal?.aborted) return;
            controller.enqueue(picture);
            controller.close();
          },
        },
        { highWaterMark: 0 },
      );
    const fetchHeld = (bodyMs: number) =>
      fetchPicture("https://a.example.com/", {
        fetch: async (_input, init) => new Response(bodyAfter(bodyMs, init?.signal)),
        allowedHosts: [],
        timeoutMs: 1_000,
        hold: () => scheduler.wait(1_500),
      });
    expect((await fetchHeld(0)).bytes).toEqual(picture);
    await expect(fetchHeld(5_000)).rejects.toThrow("it took too long");
  });

  test.each([
    [429, { "retry-after": "7" }, 7000],
    [429, {}, undefined],
    [503, { "retry-after": "7" }, 7000],
  ])("a host that asks for a pause by %i %j is told apart", async (status, headers, retryAfterMs) => {
    const fetched = fetchPicture("https://a.example.com/", {
      fetch: async () => new Response(null, { status, headers }),
      allowedHosts: [],
      timeoutMs: AMPLE_MS,
    });
    await expect(fetched).rejects.toBeInstanceOf(BusyHostError);
    await expect(fetched).rejects.toMatchObject({ retryAfterMs, failure: { code: "url-unreachable" } });
  });

  test("a 503 that names no time is a failure like any other", async () => {
    const fetched = fetchPicture("https://a.example.com/", {
      fetch: async () => new Response(null, { status: 503 }),
      allowedHosts: [],
      timeoutMs: AMPLE_MS,
    });
    await expect(fetched).rejects.not.toBeInstanceOf(BusyHostError);
  });

  test.each([
    ["as many bytes as are declared", { "content-length": "700" }, 700],
    ["the most that is accepted where nothing is declared", {}, MAX_IMAGE_BYTES],
    ["the most where more is declared", { "content-length": "900000000" }, MAX_IMAGE_BYTES],
    [
      "the most where the declared bytes unpack to who knows how many",
      { "content-length": "700", "content-encoding": "gzip" },
      MAX_IMAGE_BYTES,
    ],
  ])("makes room for %s", async (_name, headers, expected) => {
    const held: number[] = [];
    await fetchPicture("https://a.example.com/", {
      fetch: async () => new Response(newPicture(), { headers: headers as Record<string, string> }),
      allowedHosts: [],
      timeoutMs: AMPLE_MS,
      hold: async (bytes) => void held.push(bytes),
    }).catch(() => {});
    expect(held).toEqual([expected]);
  });

  test("cancels a picture that is declared too large, because it would keep its connection", async () => {
    let isCancelled = false;
    const body = new ReadableStream({
      cancel() {
        isCancelled = true;
      },
    });
    const fetched = fetchPicture("https://a.example.com/", {
      fetch: async () => new Response(body, { headers: { "content-length": "900000000" } }),
      allowedHosts: [],
      timeoutMs: 1_000,
    });
    await expect(fetched).rejects.toMatchObject({ failure: { code: "image-too-large" } });
    expect(isCancelled).toBe(true);
  });

  test("believes a declared size, and not a declared type", async () => {
    network.pages.set(
      "https://a.example.com/page",
      () => new Response("<html>", { headers: { "content-type": "image/png" } }),
    );
    const response = await startEdge().fetch("/v1/captions", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ url: "https://a.example.com/page" }),
    });
    expect(response.status).toBe(415);
  });
});
