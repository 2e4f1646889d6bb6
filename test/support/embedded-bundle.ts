/** Builds the embedded bundle and the pages once before any test: test files run side by side and several need them. */

import { execFileSync } from "node:child_process";
import { openEmbeddedBundle } from "../../backend/model/embedded.ts";

export async function setup(): Promise<void> {
  // By itself, as wrangler does it.
  execFileSync(process.execPath, ["local/pages/build.ts"], { cwd: new URL("../..", import.meta.url) });
  await openEmbeddedBundle();
}
