import { Webhook } from "standardwebhooks";
import { expect, test } from "vitest";
import { deliver, newWebhookSecret } from "../../../worker/jobs/webhook.ts";

const URL_OF = "https://hooks.example.com/captions";

/** A network that answers each address as told; others are unreachable. */
function networkOf(pages: Record<string, (init: RequestInit) => Response | Promise<Response>>) {
  const called: string[] = [];
  const fetched = async (input: unknown, init: unknown) => {
    called.push(String(input));
    const page = pages[String(input)];
    if (page === undefined) throw new TypeError("connection refused");
    return page(init as RequestInit);
  };
  return { called, fetch: fetched as typeof fetch };
}

async function outcomeOf(pages: Parameters<typeof networkOf>[0], url = URL_OF) {
  const { called, fetch } = networkOf(pages);
  const outcome = await deliver(
    { id: "job_1_completed", url, secret: newWebhookSecret(), body: "{}" },
    { fetch, allowedHosts: [], now: () => Date.now() },
  );
  return { outcome, called };
}

const answer = (status: number, location?: string) => () =>
  new Response(null, { status, headers: location === undefined ? {} : { location } });

test.each([
  ["200", answer(200), "delivered"],
  ["204", answer(204), "delivered"],
  ["500", answer(500), "failed"],
  ["429", answer(429), "failed"],
  ["a redirect that changes the method", answer(302, "https://elsewhere.example.com/"), "failed"],
  ["a redirect to nowhere", answer(307), "failed"],
  ["gone", answer(410), "refused"],
] as const)("a receiver that answers %s", async (_what, page, expected) => {
  expect((await outcomeOf({ [URL_OF]: page })).outcome).toBe(expected);
});

test("a receiver that is down", async () => {
  expect((await outcomeOf({})).outcome).toBe("failed");
});

test("a receiver that never answers is given up after its time", async () => {
  const never = ({ signal }: RequestInit) =>
    new Promise<Response>((_resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason));
    });
  const startedAt = Date.now();
  expect((await outcomeOf({ [URL_OF]: never })).outcome).toBe("failed");
  expect(Date.now() - startedAt).toBeGreaterThan(14_000);
});

test("redirects that keep the method are followed, each judged anew", async () => {
  const moved = "https://new.example.com/hook";
  const followed = await outcomeOf({ [URL_OF]: answer(308, moved), [moved]: answer(200) });
  expect(followed).toEqual({ outcome: "delivered", called: [URL_OF, moved] });
  const inwards = await outcomeOf({ [URL_OF]: answer(307, "http://[::1]/"), "http://[::1]/": answer(200) });
  expect(inwards).toEqual({ outcome: "refused", called: [URL_OF] });
  expect((await outcomeOf({ [URL_OF]: answer(307, URL_OF) })).outcome).toBe("failed");
  expect(await outcomeOf({}, "http://192.168.1.1/hook")).toEqual({ outcome: "refused", called: [] });
});

test("the signature is one that the library verifies, and changes with the body", async () => {
  const secret = newWebhookSecret();
  let sent: RequestInit = {};
  const { fetch } = networkOf({
    [URL_OF]: (init) => {
      sent = init;
      return new Response(null);
    },
  });
  const body = JSON.stringify({ type: "caption.job.completed", data: { name: "ä" } });
  await deliver(
    { id: "job_1_completed", url: URL_OF, secret, body },
    { fetch, allowedHosts: [], now: Date.now },
  );
  const headers = sent.headers as Record<string, string>;
  expect(new Webhook(secret).verify(String(sent.body), headers)).toMatchObject({ data: { name: "ä" } });
  expect(() => new Webhook(secret).verify(`${sent.body} `, headers)).toThrow();
});
