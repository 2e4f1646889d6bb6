import { status } from "@grpc/grpc-js";
import { expect, onTestFinished, test } from "vitest";
import { TRITON_MODEL } from "../../../backend/bundle/triton-models.ts";
import { parseConfig } from "../../../backend/config.ts";
import { engineDevice, openEngine } from "../../../backend/engines/open-engine.ts";
import { TritonError } from "../../../backend/engines/triton/triton-error.ts";
import { writeTritonRepository } from "../../../backend/model/triton/repository.ts";
import { FailureError } from "../../../shared/problem.ts";
import { readTinyReference, temporaryFolder, tinyBundle } from "../../support/tiny-blip.ts";
import { startTritonStandIn } from "../../support/triton-stand-in.ts";

const greedy = { maxNewTokens: 10, numBeams: 1, promptIds: [] };

test("both engines give the same answers; a Triton server counts as a GPU", async () => {
  const bundle = await tinyBundle({ device: "cuda" });
  const folder = await temporaryFolder();
  await writeTritonRepository({ bundle, folder, model: TRITON_MODEL, device: "cpu" });
  const server = await startTritonStandIn(folder);
  onTestFinished(() => server.kill());
  const configs = [
    parseConfig({ THREADS: "1" }),
    parseConfig({ ENGINE: "triton", TRITON_ENDPOINTS: server.endpoint }),
  ];
  expect(configs.map(engineDevice)).toEqual(["cpu", "cuda"]);

  const { pixels, shape } = readTinyReference().base;
  const [own, remote] = await Promise.all(configs.map((config) => openEngine(config, bundle)));
  const ids = async (engine = own) =>
    (await engine?.generate(pixels, shape[0], greedy))?.map((row) => row.tokenIds);
  expect(await ids(remote)).toEqual(await ids(own));

  server.failWith = { code: status.UNAVAILABLE, details: "Exceeds maximum queue size" };
  const refused = await remote?.generate(pixels, shape[0], greedy).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(FailureError);
  expect((refused as FailureError).failure.code).toMatch(/^(overloaded|unavailable)$/);
  // For the log: whoever operates several servers wants to know which one, and what it said.
  expect((refused as FailureError).failure.reason).toContain(server.endpoint);
  await Promise.all([own?.close(), remote?.close()]);
});

test("a missing server ends the start, and its address is named", async () => {
  const config = parseConfig({
    ENGINE: "triton",
    TRITON_ENDPOINTS: "127.0.0.1:9",
    REQUEST_TIMEOUT_MS: "2000",
  });
  const error = await openEngine(config, await tinyBundle({ device: "cuda" })).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(TritonError);
  expect(String(error)).toContain("127.0.0.1:9");
});
