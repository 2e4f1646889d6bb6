/** Builds the embedded bundle once before any test: test files run side by side and several need it. */

import { openEmbeddedBundle } from "../../backend/model/embedded.ts";

export async function setup(): Promise<void> {
  await openEmbeddedBundle();
}
