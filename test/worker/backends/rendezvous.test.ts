import { expect, test } from "vitest";
import { rendezvousOrder } from "../../../worker/backends/rendezvous.ts";

test("moves only the pictures of the captioner that went", () => {
  const nodes = ["http://a", "http://b", "http://c"];
  const keys = Array.from({ length: 3000 }, (_, index) => `key-${index}`);
  const first = (set: readonly string[], key: string) => rendezvousOrder(set, key)[0];
  const counts = nodes.map((node) => keys.filter((key) => first(nodes, key) === node).length);
  for (const count of counts) expect(count).toBeGreaterThan(850);
  for (const key of keys) {
    const before = first(nodes, key);
    const after = first(["http://a", "http://b"], key);
    if (before !== "http://c") expect(after).toBe(before);
  }
});
