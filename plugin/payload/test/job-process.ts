/**
 * A process that runs the jobs of a site, again and again, until it is killed: `job-process.ts FOLDER API [POSTGRES]`. It says
 * when it begins.
 */

import { postgresAdapter } from "@payloadcms/db-postgres";
import { startSite } from "./site.ts";

const [folder, endpoint = "", connectionString] = process.argv.slice(2);
const db = connectionString === undefined ? {} : { db: postgresAdapter({ pool: { connectionString } }) };
const site = await startSite({ endpoint, inlineTimeoutMs: 0 }, {}, db, folder);
process.send?.("begins");
for (;;) {
  await site.runJobs();
  await new Promise((wake) => setTimeout(wake, 100));
}
