import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

/** Runs where test/triton/install.sh has put a Triton server. */
const triton = {
  test: { name: "triton", include: ["test/triton/*.test.ts"], testTimeout: 120_000, fileParallelism: false },
};

/** Time limits that only guard against hanging, because a slower or busier machine than ours takes several times as long. */
const patience = { testTimeout: 120_000, hookTimeout: 120_000, expect: { poll: { timeout: 60_000 } } };

/** Two projects: code that runs on Cloudflare is tested inside workerd, everything else in Node. */
export default defineConfig({
  test: {
    globalSetup: "./test/support/embedded-bundle.ts",
    // One worker per core, because test files wait for processes and timers as much as they compute; the default leaves a
    // core idle.
    maxWorkers: "100%",
    projects: [
      {
        test: {
          name: "node",
          include: ["test/**/*.test.ts"],
          exclude: ["test/worker/**", "test/triton/**"],
          ...patience,
        },
      },
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: "./wrangler.toml" },
            // For the queue's consumer and the objects; the edge that a test makes has its own. KV and counters are slow on
            // a busy machine, which must not make entries missing or requests uncounted.
            miniflare: {
              bindings: { LOG_LEVEL: "error", KV_TIMEOUT_MS: "60000", COUNTER_TIMEOUT_MS: "60000" },
            },
          }),
        ],
        test: { name: "worker", include: ["test/worker/**/*.test.ts"], ...patience },
      },
      ...(process.env.TRITON_VENV ? [triton] : []),
    ],
  },
});
