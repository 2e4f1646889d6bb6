/** Builds the embedded bundle and the desk once before any test: test files run side by side and several need them. */

import { openEmbeddedBundle } from "../../backend/model/embedded.ts";
import { buildDesk } from "../../local/build-desk.ts";

export async function setup(): Promise<void> {
  await buildDesk();
  await openEmbeddedBundle();
}
