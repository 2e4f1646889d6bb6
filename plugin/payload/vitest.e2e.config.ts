import { defineConfig } from "vitest/config";

/** Needs the built site (`npm run build && npm run importmap && npm run build:site`) and Chromium. */
export default defineConfig({
  test: {
    include: ["test/e2e/**/*.test.ts"],
    // Guards against what hangs: a slow or busy machine takes several times as long as ours.
    testTimeout: 240_000,
    env: { PAYLOAD_FORCE_DRIZZLE_PUSH: "true", NEXT_TELEMETRY_DISABLED: "1" },
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
    fileParallelism: false,
  },
});
