import { expect, test } from "vitest";
import { freePort } from "../../local/local-server.ts";
import { isPortFree } from "../../local/port-holder.ts";

test("a free port is never one that the system hands out for any port or for a connection", async () => {
  const port = await freePort();
  expect(await isPortFree(port)).toBe(true);
  // Linux gives those from 32768 on, other systems those from 49152 on.
  expect(port).toBeLessThan(32_768);
});

test("no port is given twice while nobody may be listening on it yet", async () => {
  const ports: number[] = [];
  for (let count = 0; count < 300; count++) ports.push(await freePort());
  expect(new Set(ports).size).toBe(300);
});
