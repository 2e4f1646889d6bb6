/** The repository's own caption API behind a site: the worker in workerd, the backend with the embedded model. */

import { EMBEDDED_BUNDLE, openEmbeddedBundle } from "../../../../backend/model/embedded.ts";
import { type BackendProcess, startBackend } from "../../../../bench/backend-process.ts";
import { type RunningEdge, startEdge } from "../../../../local/edge.ts";
import { runCommand } from "../../../../test/support/run-command.ts";

export interface RealApi {
  readonly edge: RunningEdge;
  readonly backend: BackendProcess;
  readonly variables: Readonly<Record<string, string>>;
  /** A new key, by the operator's own command. */
  newKey(options?: { readonly scopes?: string; readonly dailyQuota?: number }): Promise<string>;
  /** Captions that the model has made so far. */
  generated(): Promise<number>;
  stop(): Promise<void>;
}

/** Starts both, for callers with a key. */
export async function startRealApi(more: Readonly<Record<string, string>> = {}): Promise<RealApi> {
  await openEmbeddedBundle();
  const backend = await startBackend({ BUNDLE: EMBEDDED_BUNDLE });
  const variables = { ACCESS: "keys", BACKEND_URLS: backend.url, ...more };
  const edge = await startEdge(variables);
  return {
    edge,
    backend,
    variables,
    async newKey({ scopes = "read,caption,jobs", dailyQuota = 100_000 } = {}) {
      const args = [
        "create",
        "--name",
        "cms",
        "--scopes",
        scopes,
        "--daily-quota",
        String(dailyQuota),
        "--json",
      ];
      const { stdout, stderr, status } = await runCommand("keys", [...args, "--persist-to", edge.state]);
      if (status !== 0) throw new Error(stderr);
      return (JSON.parse(stdout) as { key: string }).key;
    },
    async generated() {
      const text = await (await fetch(`${backend.url}/metrics`)).text();
      const counts = text.matchAll(/^caption_requests_total\{.*outcome="generated".*\} (\d+)$/gm);
      return Array.from(counts, ([, count]) => Number(count)).reduce((sum, count) => sum + count, 0);
    },
    async stop() {
      await edge.stop();
      await backend.kill();
    },
  };
}
