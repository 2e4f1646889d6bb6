import { expect, test } from "vitest";
import { createBackend } from "../../../worker/backends/backend.ts";

test("an error in place of the model is cancelled unread, because it would keep its connection", async () => {
  let isCancelled = false;
  const body = new ReadableStream({
    cancel() {
      isCancelled = true;
    },
  });
  const backend = createBackend({
    url: "http://backend-a.test",
    secret: undefined,
    accessHeaders: {},
    hostedModel: undefined,
    fetch: async () => new Response(body, { status: 502 }),
  });
  expect(await backend.model(1_000)).toBeUndefined();
  expect(isCancelled).toBe(true);
});
