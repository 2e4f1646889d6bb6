/** A process of a site that runs the plugin's queues, until it is killed: `job-process.ts FOLDER API [POSTGRES]`. */

import { postgresAdapter } from "@payloadcms/db-postgres";
import { startSite } from "./site.ts";

const [folder, endpoint = "", connectionString] = process.argv.slice(2);
const db = connectionString === undefined ? {} : { db: postgresAdapter({ pool: { connectionString } }) };
await startSite({ endpoint, inlineTimeoutMs: 0, runner: "* * * * * *" }, {}, db, folder);
process.send?.("begins");
