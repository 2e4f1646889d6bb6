/** `examples/webhook-receiver.ts` as a process: what is signed is taken, what is not is refused, and a lost connection ends nothing. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { Webhook } from "standardwebhooks";
import { expect, onTestFinished, test } from "vitest";
import { freePort } from "../../local/local-server.ts";

const RECEIVER = fileURLToPath(new URL("../../examples/webhook-receiver.ts", import.meta.url));
const SECRET = `whsec_${Buffer.from("0123456789abcdef0123456789abcdef").toString("base64")}`;

test("it takes what is signed, refuses the rest, and outlives a connection that is lost in the middle of a body", async () => {
  const port = await freePort();
  const child = spawn(process.execPath, [RECEIVER], {
    env: { PATH: process.env.PATH, PORT: String(port), WEBHOOK_SECRET: SECRET },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout, "data");
  const url = `http://127.0.0.1:${port}/`;

  const lost = connect(port, "127.0.0.1");
  lost.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc", () => lost.destroy());
  await once(lost, "close");

  const body = '{"type":"caption.job.completed"}';
  const sentAt = new Date();
  const headers = {
    "webhook-id": "msg_1",
    "webhook-timestamp": String(Math.floor(sentAt.getTime() / 1000)),
    "webhook-signature": new Webhook(SECRET).sign("msg_1", sentAt, body),
  };
  expect((await fetch(url, { method: "POST", body: `${body} `, headers })).status).toBe(401);
  expect((await fetch(url, { method: "POST", body, headers })).status).toBe(204);
  expect(child.exitCode).toBeNull();
});
