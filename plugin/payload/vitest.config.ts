import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/e2e/**"],
    globalSetup: "test/postgres-server.ts",
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Each file has real Payload sites of its own; two cores carry one at a time.
    fileParallelism: false,
    env: { PAYLOAD_FORCE_DRIZZLE_PUSH: "true", NEXT_TELEMETRY_DISABLED: "1" },
  },
});
