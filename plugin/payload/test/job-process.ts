/** A process that runs the jobs of a site, to be killed: `job-process.ts FOLDER API`. */

import { startSite } from "./site.ts";

const [folder, endpoint = ""] = process.argv.slice(2);
const site = await startSite({ endpoint, inlineTimeoutMs: 0 }, {}, {}, folder);
await site.runJobs();
