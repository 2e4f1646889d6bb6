/** The least a worker can do: Hono, one route, the same JSON that the edge answers. */

import { Hono } from "hono";

const CAPTION = {
  sha256: "0".repeat(64),
  caption: "a brown dog runs along the beach",
  alt: "A brown dog runs along the beach",
  score: 0.71,
  needs_review: false,
  model: { id: "bench/fake", revision: "r1" },
  cached: true,
};

const app = new Hono();
app.get("/v1/captions/:sha256", (context) => context.json(CAPTION));
export default app;
