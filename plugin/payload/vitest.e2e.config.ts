import { defineConfig } from "vitest/config";

/** Needs the built site (`npm run build && npm run importmap && npm run build:site`) and Chromium. */
export default defineConfig({
  test: {
    include: ["test/e2e/**/*.test.ts"],
    testTimeout: 90_000,
    env: { PAYLOAD_FORCE_DRIZZLE_PUSH: "true", NEXT_TELEMETRY_DISABLED: "1" },
    hookTimeout: 180_000,
    fileParallelism: false,
  },
});
