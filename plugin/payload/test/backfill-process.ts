/** A process that backfills a site, to be killed: `backfill-process.ts FOLDER OPTIONS`, the options as JSON. */

import { backfill } from "../src/backfill.ts";
import { startSite } from "./site.ts";

const [folder, options = ""] = process.argv.slice(2);
const { endpoint, apiKey, serverURL, isByAddress } = JSON.parse(options) as {
  readonly endpoint: string;
  readonly apiKey: string;
  readonly serverURL: string;
  readonly isByAddress: boolean;
};
const site = await startSite({ endpoint, apiKey, inlineTimeoutMs: 0 }, {}, { serverURL }, folder);
await backfill(site.payload, { isDryRun: false, isByAddress, print: (line) => process.send?.(line) });
process.exit();
