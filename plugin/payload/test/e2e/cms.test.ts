/** `npm run cms` as a newcomer runs it: the real API with the embedded model behind the site, and Ctrl-C. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePort } from "../../../../local/local-server.ts";

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));

let command: ChildProcess;
let url: string;
let output = "";
beforeAll(async () => {
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const ports = { "--port": port, "--api-port": await freePort(), "--backend-port": await freePort() };
  const options = Object.entries(ports).flatMap(([option, value]) => [option, String(value)]);
  command = spawn(process.execPath, ["commands/cms.ts", ...options], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
  });
  for (const stream of [command.stdout, command.stderr]) stream?.on("data", (chunk) => (output += chunk));
  while (!output.includes("Ctrl-C stops it. Its")) {
    if (command.exitCode !== null) throw new Error(`npm run cms ended:\n${output}`);
    await new Promise((wake) => setTimeout(wake, 200));
  }
}, 900_000);
afterAll(() => {
  command.kill("SIGKILL");
});

async function call(at: string, init: RequestInit = {}): Promise<Record<string, unknown>> {
  const login = await fetch(`${url}/api/users/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ email: "editor@example.org", password: "alt-text" }),
  });
  const { token } = (await login.json()) as { token: string };
  const response = await fetch(`${url}/api${at}`, { ...init, headers: { authorization: `JWT ${token}` } });
  return (await response.json()) as Record<string, unknown>;
}

test("it says where the admin panel is, and how to log in", () => {
  expect(output).toContain(`${url}/admin`);
  expect(output).toContain("editor@example.org, password alt-text");
});

test("the samples are described by the real model, a person's words stand", async () => {
  const byName = async () => {
    const { docs } = (await call(
      "/media?limit=100&where[filename][in]=cat.jpg,astronaut.jpg,rocket.jpg",
    )) as {
      docs: { filename: string }[];
    };
    return Object.fromEntries(docs.map((doc) => [doc.filename, doc]));
  };
  // By a job, where the model was too slow for the upload.
  await expect.poll(byName).toMatchObject({
    "cat.jpg": { alt: "A cat", altSource: "generated", altScore: expect.closeTo(0.38, 2) },
    "astronaut.jpg": { alt: expect.stringMatching(/^A man|^A woman|^A person/) },
    "rocket.jpg": { altSource: "person" },
  });
});

test("a picture that nobody has seen is described while it is uploaded, or soon after", async () => {
  const photo = await readFile(path.join(ROOT, "examples/cat.jpg"));
  const unseen = Buffer.concat([photo, Buffer.from(crypto.randomUUID())]);
  const form = new FormData();
  form.append("file", new File([unseen], "unseen.jpg", { type: "image/jpeg" }));
  const { doc } = (await call("/media", { method: "POST", body: form })) as { doc: { id: number } };
  await expect.poll(() => call(`/media/${doc.id}`)).toMatchObject({ alt: "A cat", altState: "generated" });
  // The demo's folder is that of whoever runs the tests.
  await call(`/media/${doc.id}`, { method: "DELETE" });
});

test("Ctrl-C stops all of it", async () => {
  const exited = once(command, "exit");
  command.kill("SIGINT");
  expect(await exited).toEqual([0, null]);
  await expect(fetch(`${url}/api/users/me`)).rejects.toThrow();
});
