import { expect, test } from "vitest";
import { captionKey } from "../../../worker/cache/key.ts";

test("a key fits into KV whatever the revision and the prompt", async () => {
  const key = await captionKey({
    revision: "é/".repeat(400),
    options: { prompt: "语".repeat(200), num_beams: 3 },
    sha256: "0".repeat(64),
  });
  expect(new TextEncoder().encode(key).length).toBeLessThanOrEqual(512);
  expect(key).toMatch(/^caption\/all\/0{64}\/[0-9a-f]{32}\/[0-9a-f]{32}$/);
});
