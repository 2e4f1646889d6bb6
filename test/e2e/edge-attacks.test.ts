/** The attacks of `npm run -s bench -- hostile` on the running edge, each once. */

import { expect, test } from "vitest";
import { attackEdge } from "../../bench/edge-attacks.ts";

test("nothing is spent for others, and nobody is held up", async () => {
  const rows = await attackEdge(() => {});
  expect(rows.filter(({ is_met }) => !is_met)).toEqual([]);
  expect(rows).toHaveLength(11);
}, 400_000);
