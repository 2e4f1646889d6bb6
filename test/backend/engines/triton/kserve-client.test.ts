import { expect, onTestFinished, test, vi } from "vitest";
import { createKserveClient } from "../../../../backend/engines/triton/kserve-client.ts";
import { temporaryFolder } from "../../../support/tiny-blip.ts";
import { startTritonStandIn } from "../../../support/triton-stand-in.ts";

/** Only what hangs takes as long. */
const soon = () => ({ deadline: Date.now() + 60_000 });

async function connected() {
  const server = await startTritonStandIn(await temporaryFolder());
  const client = createKserveClient(server.endpoint);
  onTestFinished(async () => {
    client.close();
    await server.kill();
  });
  return { server, client };
}

test("asks for readiness; a model that the server does not know is not ready", async () => {
  const { server, client } = await connected();
  expect(await client.serverReady(soon())).toBe(true);
  server.ready = false;
  expect(await client.serverReady(soon())).toBe(false);
  expect(await client.modelReady("nothing", "1", soon())).toBe(false);
});

test("servers in a private network are not reached through the proxy that the environment names for the web", async () => {
  onTestFinished(() => void vi.unstubAllEnvs());
  for (const name of ["http_proxy", "https_proxy", "grpc_proxy"]) vi.stubEnv(name, "http://127.0.0.1:1");
  const { client } = await connected();
  expect(await client.serverReady(soon())).toBe(true);
});

test("a batch of 64 pictures of 384 x 384 pixels is sent whole", async () => {
  const { client } = await connected();
  const shape = [64, 3, 384, 384];
  const bytes = new Uint8Array(64 * 3 * 384 * 384);
  const inputs = [{ name: "pixels", datatype: "UINT8", shape, bytes }];
  const call = client.infer({ model: "nothing", version: "1", inputs, outputs: [] }, soon());
  // The server has read it all when it misses the model.
  await expect(call).rejects.toMatchObject({ failure: "not-loaded" });
});

test("a deadline that has passed rejects at once", async () => {
  const { client } = await connected();
  await expect(client.serverReady({ deadline: Date.now() - 1 })).rejects.toMatchObject({
    failure: "timeout",
  });
});
