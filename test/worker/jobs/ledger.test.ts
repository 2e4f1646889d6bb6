import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { type Counts, createLedger, type Ledger } from "../../../worker/jobs/ledger.ts";
import { failedOutcome } from "../../../worker/jobs/outcome.ts";

const failure = failedOutcome({ code: "bad-request", detail: "Bad." });

/** Runs `use` with the ledger of a job of so many items. */
async function withLedger(items: number, use: (ledger: Ledger, counts: Counts) => void): Promise<void> {
  const stub = env.JOBS.getByName(crypto.randomUUID());
  await runInDurableObject(stub, (_instance, { storage }) => {
    const ledger = createLedger(storage.sql);
    const counts = { total: 0, waiting: 0, cached: 0, generated: 0, failed: 0, cancelled: 0 };
    ledger.create();
    ledger.add(
      Array.from({ length: items }, () => ({ sha256: "0".repeat(64) })),
      counts,
    );
    ledger.divide(items, 0);
    use(ledger, counts);
  });
}

test("pages of lines repeat none and leave none out, although items between them are not done", async () => {
  await withLedger(40, (ledger, counts) => {
    const done = [3, 4, 11, 30, 31, 39];
    for (const index of done) ledger.finish(index, failure, counts);
    const read: number[] = [];
    for (let from: number | undefined = 0; from !== undefined; ) {
      const page: ReturnType<Ledger["lines"]> = ledger.lines(from, 2);
      read.push(...page.lines.map((line) => (JSON.parse(line) as { index: number }).index));
      from = page.next;
    }
    expect(read).toEqual(done);
  });
});

test("each item is in one chunk", async () => {
  await withLedger(60, (ledger) => {
    const indices = [0, 1, 2].flatMap((chunk) => ledger.waitingOf(chunk).map(({ index }) => index));
    expect(indices).toEqual(Array.from({ length: 60 }, (_, i) => i));
  });
});
