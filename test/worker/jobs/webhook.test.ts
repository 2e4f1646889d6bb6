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
  const answer = await deliver(
    { id: "job_1_completed", url, secret: newWebhookSecret(), body: "{}" },
    { fetch, allowedHosts: [], now: () => Date.now() },
  );
  return { ...answer, called };
}

const answer = (status: number, location?: string) => () =>
  new Response(null, { status, headers: location === undefined ? {} : { location } });

const NO_SUCCESS = "It did not answer with success (2xx).";

test.each([
  ["200", answer(200), "delivered", undefined],
  ["204", answer(204), "delivered", undefined],
  ["500", answer(500), "failed", NO_SUCCESS],
  ["429", answer(429), "failed", NO_SUCCESS],
  ["a redirect to nowhere", answer(307), "failed", NO_SUCCESS],
  [
    "a redirect that changes the method",
    answer(302, "https://elsewhere.example.com/"),
    "failed",
    "It redirects, and not with 307 or 308.",
  ],
  ["a redirect to no address", answer(308, "http://["), "failed", "It redirects without a valid address."],
  ["gone", answer(410), "refused", "It answered that it is gone (410)."],
] as const)("a receiver that answers %s", async (_what, page, outcome, reason) => {
  expect(await outcomeOf({ [URL_OF]: page })).toMatchObject({ outcome, ...(reason && { reason }) });
});

test("a receiver that is down", async () => {
  expect(await outcomeOf({})).toMatchObject({
    outcome: "failed",
    reason: "It could not be reached, or hung up.",
  });
});

test("a receiver that never answers is given up after its time", async () => {
  const never = ({ signal }: RequestInit) =>
    new Promise<Response>((_resolve, reject) => {
      signal?.addEventListener("abort", () => reject(signal.reason));
    });
  const startedAt = Date.now();
  expect(await outcomeOf({ [URL_OF]: never })).toMatchObject({
    outcome: "failed",
    reason: "It did not answer within 15 s.",
  });
  expect(Date.now() - startedAt).toBeGreaterThan(14_000);
});

test("redirects that keep the method are followed, each judged anew", async () => {
  const moved = "https://new.example.com/hook";
  const followed = await outcomeOf({ [URL_OF]: answer(308, moved), [moved]: answer(200) });
  expect(followed).toEqual({ outcome: "delivered", called: [URL_OF, moved] });
  const inwards = await outcomeOf({ [URL_OF]: answer(307, "http://[::1]/"), "http://[::1]/": answer(200) });
  const reason = "The address may not be fetched: the address is not public.";
  expect(inwards).toEqual({ outcome: "refused", reason, called: [URL_OF] });
  expect(await outcomeOf({ [URL_OF]: answer(307, URL_OF) })).toMatchObject({
    outcome: "failed",
    reason: "It redirects more than 3 times.",
  });
  expect(await outcomeOf({}, "http://192.168.1.1/hook")).toEqual({ outcome: "refused", reason, called: [] });
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
