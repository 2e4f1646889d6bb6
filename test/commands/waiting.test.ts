import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough } from "node:stream";
import { expect, onTestFinished, test } from "vitest";
import { CommandError } from "../../commands/command-line.ts";
import { aborted, answersOk, whileAlive } from "../../commands/waiting.ts";
import type { Child } from "../../local/child.ts";

const NEVER = new AbortController().signal;

function childThat(ended: Promise<string>): Child {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  return { name: "site", ended, hasFailed: false, stdout, stderr, stop: async () => {} };
}

test("work on a child that dies ends with the child's name and how it ended", async () => {
  const waiting = whileAlive(childThat(Promise.resolve("status 3")), aborted(NEVER), NEVER);
  await expect(waiting).rejects.toThrow(CommandError);
  await expect(waiting).rejects.toThrow("The site ended with status 3");
});

test("an interruption ends the wait with its own reason, also where the child dies of it", async () => {
  const interruption = new AbortController();
  const { signal } = interruption;
  const ended = aborted(signal).catch(() => "signal SIGTERM");
  const waiting = whileAlive(childThat(ended), new Promise(() => {}), signal);
  interruption.abort(new Error("interrupted"));
  await expect(waiting).rejects.toThrow("interrupted");
});

test("a service is waited for until it answers well; one that does not in time is named", async () => {
  let asked = 0;
  const server = createServer((_, response) => {
    asked += 1;
    response.writeHead(asked < 3 ? 503 : 200).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/readyz`;
  await answersOk(url, { signal: NEVER });
  expect(asked).toBe(3);
  await expect(answersOk(url, { withinMs: 0, signal: NEVER })).rejects.toThrow(`${url} was not ready`);
});

test("a service that accepts the connection and never answers is not waited for beyond that time", async () => {
  const server = createServer(() => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/readyz`;
  await expect(answersOk(url, { withinMs: 100, signal: NEVER })).rejects.toThrow(`${url} was not ready`);
});
