/**
 * The backend as a process of its own, with the fake engine: `fork` it with the backend's environment. It sends
 * `{ url }` once it listens, obeys "hold" and "release", and sends `{ passes }` (batch sizes so far) as each pass begins.
 */

import { parseConfig } from "../../backend/config.ts";
import { startServer } from "../../backend/http/server.ts";
import { endOnSignals } from "../../backend/http/shutdown.ts";
import { createLog } from "../../backend/telemetry/log.ts";
import { createFakeEngine, fakeTokenizer } from "./fake-engine.ts";

const config = parseConfig(process.env);
const log = createLog(config.LOG_LEVEL);
const engine = createFakeEngine();
const server = await startServer({ config, engine, tokenizer: fakeTokenizer, log });
endOnSignals(log, async () => {})(server);

const warmUpPasses = engine.passes.length;
async function reportPasses(): Promise<void> {
  for (let count = warmUpPasses + 1; ; count++) {
    await engine.started(count);
    if (!process.connected) return;
    process.send?.({ passes: engine.passes.slice(warmUpPasses).map(({ batch }) => batch) });
  }
}

process.on("message", (message) => {
  if (message === "hold") engine.hold();
  if (message === "release") engine.release();
});
// Listening for messages must not keep the process alive once it has drained.
process.channel?.unref();
process.send?.({ url: server.url });
void reportPasses();
