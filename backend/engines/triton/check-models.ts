/** Checks that a server holds this bundle's models, before anything is captioned. */

import type { BundleManifest } from "../../bundle/bundle.ts";
import { modelVersion, type ServedModel, type ServedPort, servedModels } from "../../bundle/triton-models.ts";
import type { CallOptions, KserveClient, ModelMetadata } from "./kserve-client.ts";
import { TritonError } from "./triton-error.ts";

export interface ModelsToCheck {
  readonly model: string;
  readonly manifest: Pick<BundleManifest, "image" | "picture_head" | "revision">;
}

/** @throws TritonError `unreachable`, `timeout`, `not-loaded` or `mismatch`, saying what was expected and found */
export async function checkModels(
  client: KserveClient,
  { model, manifest }: ModelsToCheck,
  options: CallOptions,
): Promise<void> {
  const { batched, unbatched } = servedModels(model, manifest);
  const { revision } = manifest;
  for (const served of [batched, unbatched]) {
    // Checked before readiness, because a different picture size says more than a different revision.
    const metadata = await client.modelMetadata(served.name, undefined, options);
    checkPorts(client.endpoint, served, metadata);
    const version = modelVersion(revision);
    if (!(await client.modelReady(served.name, version, options))) {
      throw new TritonError(
        "not-loaded",
        client.endpoint,
        `model '${served.name}' has no version ${version} ready, which is this bundle's revision ${revision}; it has ${metadata.versions.join(", ")}. Write the bundle into its model repository with 'npm run model:build -- --triton DIR' and load it.`,
      );
    }
  }
  if (!(await client.serverReady(options))) {
    throw new TritonError("not-loaded", client.endpoint, "not ready yet: some of its models are loading.");
  }
}

function checkPorts(endpoint: string, served: ServedModel, metadata: ModelMetadata): void {
  for (const kind of ["inputs", "outputs"] as const) {
    const [expected, found] = [served[kind], metadata[kind]];
    for (const port of expected) {
      const other = found.find(({ name }) => name === port.name);
      if (other === undefined || describe(other) !== describe(port)) {
        throw new TritonError(
          "mismatch",
          endpoint,
          `model '${served.name}' is not this bundle's: among its ${kind}, '${port.name}' is ${other ? describe(other) : "missing"}, expected ${describe(port)}.`,
        );
      }
    }
    const extra = found.find(({ name }) => !expected.some((port) => port.name === name));
    if (extra !== undefined) {
      throw new TritonError(
        "mismatch",
        endpoint,
        `model '${served.name}' is not this bundle's: '${extra.name}' is not one of the expected ${kind}, ${expected.map(({ name }) => name)}.`,
      );
    }
  }
}

function describe({
  datatype,
  shape,
}: Pick<ModelMetadata["inputs"][number] | ServedPort, "datatype" | "shape">): string {
  return `${datatype} [${shape.join(", ")}]`;
}
