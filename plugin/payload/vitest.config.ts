import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/e2e/**"],
    globalSetup: "test/postgres-server.ts",
    // Guards against what hangs: a slow or busy machine takes several times as long as ours.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    // Each file has real Payload sites of its own; two cores carry one at a time.
    fileParallelism: false,
    env: { PAYLOAD_FORCE_DRIZZLE_PUSH: "true", NEXT_TELEMETRY_DISABLED: "1" },
  },
});
