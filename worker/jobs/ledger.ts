/**
 * What a job knows about its items, in SQLite: which are done and how, and the state of each chunk of them. Items are never
 * counted by reading them. No queue, no network, no clock.
 *
 * A chunk is `ready` (to be sent from `due` on), `sent` or `taken` (lost if not heard of by `due`), or `done`.
 */

import { CHUNK_ITEMS } from "./limits.ts";
import type { ItemOutcome } from "./outcome.ts";

/** An item as the request gave it; a malformed one brings its failed line along. */
export interface NewItem {
  readonly url?: string | undefined;
  readonly sha256?: string | undefined;
  readonly id?: string | undefined;
  /** JSON. */
  readonly metadata?: string | undefined;
  /** JSON of an `ItemOutcome`. */
  readonly failed?: string | undefined;
}

/** An item that waits to be done. */
export interface WaitingItem {
  readonly index: number;
  readonly url: string | undefined;
  readonly sha256: string | undefined;
  readonly attempts: number;
}

export interface Counts {
  total: number;
  waiting: number;
  cached: number;
  generated: number;
  failed: number;
  cancelled: number;
}

type ItemState = "waiting" | "cached" | "generated" | "failed" | "cancelled";

export interface Ledger {
  /** Makes the tables of a new job. */
  create(): void;
  add(items: readonly NewItem[], counts: Counts): void;
  /** Makes the chunks of all items. */
  divide(total: number, now: number): void;
  /** Marks the first `limit` chunks that are ready at `now` as `sent`, lost at `due`, and returns their numbers. */
  send(limit: number, times: { readonly now: number; readonly due: number }): number[];
  inFlight(): number;
  chunk(number: number): Chunk | undefined;
  move(number: number, to: Pick<Chunk, "state" | "due" | "takes">): void;
  /** Chunks that were sent or taken and are lost at `now`. */
  lost(now: number): Chunk[];
  /** When the next chunk is lost, and when the next one is ready; epoch milliseconds. */
  nextDue(): { readonly lost: number | undefined; readonly ready: number | undefined };
  waitingOf(chunk: number): WaitingItem[];
  /** Records how an item ended, the first time only. */
  finish(index: number, outcome: ItemOutcome, counts: Counts): void;
  attempted(index: number): void;
  attemptsOf(index: number): number;
  /** Cancels the items that nobody has begun: those in chunks that are not taken. */
  cancelWaiting(counts: Counts): void;
  cancelChunk(chunk: number, counts: Counts): void;
  /** Marks the chunks that nobody has as `done`, once nothing waits in them, and returns their numbers. */
  endUntaken(): number[];
  /** JSON lines of a chunk's items that are done. */
  linesOf(chunk: number): string[];
  /** JSON lines of items that are done, in order, from `from` on. */
  lines(from: number, limit: number): { readonly lines: string[]; readonly next: number | undefined };
}

export interface Chunk {
  readonly number: number;
  readonly state: "ready" | "sent" | "taken" | "done";
  readonly due: number;
  /** How often it was begun and not ended; at most one if some of it has been done since. */
  readonly takes: number;
}

type ChunkRow = { n: number; state: Chunk["state"]; due: number; takes: number };
type ItemRow = { idx: number; url: string | null; sha256: string | null; attempts: number };
type LineRow = { idx: number; id: string | null; metadata: string | null; outcome: string };

export function createLedger(sql: SqlStorage): Ledger {
  const toChunk = ({ n, state, due, takes }: ChunkRow): Chunk => ({ number: n, state, due, takes });
  const [firstOf, lastOf] = [
    (chunk: number) => chunk * CHUNK_ITEMS,
    (chunk: number) => (chunk + 1) * CHUNK_ITEMS - 1,
  ];

  function settle(rows: readonly { idx: number }[], counts: Counts): void {
    for (const { idx } of rows) sql.exec("UPDATE items SET state = 'cancelled' WHERE idx = ?", idx);
    counts.waiting -= rows.length;
    counts.cancelled += rows.length;
  }

  return {
    create() {
      sql.exec(`CREATE TABLE items (idx INTEGER PRIMARY KEY, url TEXT, sha256 TEXT, id TEXT, metadata TEXT,
        state TEXT NOT NULL, outcome TEXT, attempts INTEGER NOT NULL DEFAULT 0)`);
      sql.exec(`CREATE TABLE chunks (n INTEGER PRIMARY KEY, state TEXT NOT NULL, due INTEGER NOT NULL,
        takes INTEGER NOT NULL DEFAULT 0)`);
      sql.exec("CREATE INDEX chunks_by_due ON chunks (state, due)");
    },
    add(items, counts) {
      for (const { url, sha256, id, metadata, failed } of items) {
        const state: ItemState = failed === undefined ? "waiting" : "failed";
        sql.exec(
          "INSERT INTO items (idx, url, sha256, id, metadata, state, outcome) VALUES (?, ?, ?, ?, ?, ?, ?)",
          counts.total,
          url ?? null,
          sha256 ?? null,
          id ?? null,
          metadata ?? null,
          state,
          failed ?? null,
        );
        counts.total += 1;
        counts[state] += 1;
      }
    },
    divide(total, now) {
      for (let n = 0; n * CHUNK_ITEMS < total; n++) {
        sql.exec("INSERT INTO chunks (n, state, due) VALUES (?, 'ready', ?)", n, now);
      }
    },
    send(limit, { now, due }) {
      const rows = sql
        .exec<{ n: number }>(
          "SELECT n FROM chunks WHERE state = 'ready' AND due <= ? ORDER BY due, n LIMIT ?",
          now,
          limit,
        )
        .toArray();
      for (const { n } of rows) sql.exec("UPDATE chunks SET state = 'sent', due = ? WHERE n = ?", due, n);
      return rows.map(({ n }) => n);
    },
    inFlight: () =>
      sql
        .exec<{ count: number }>("SELECT count(*) AS count FROM chunks WHERE state IN ('sent', 'taken')")
        .one().count,
    chunk(number) {
      const [row] = sql
        .exec<ChunkRow>("SELECT n, state, due, takes FROM chunks WHERE n = ?", number)
        .toArray();
      return row && toChunk(row);
    },
    move(number, { state, due, takes }) {
      sql.exec("UPDATE chunks SET state = ?, due = ?, takes = ? WHERE n = ?", state, due, takes, number);
    },
    lost: (now) =>
      sql
        .exec<ChunkRow>(
          "SELECT n, state, due, takes FROM chunks WHERE state IN ('sent', 'taken') AND due <= ?",
          now,
        )
        .toArray()
        .map(toChunk),
    nextDue() {
      const earliest = (states: string) =>
        sql
          .exec<{ due: number | null }>(`SELECT min(due) AS due FROM chunks WHERE state IN (${states})`)
          .one().due ?? undefined;
      return { lost: earliest("'sent', 'taken'"), ready: earliest("'ready'") };
    },
    waitingOf: (chunk) =>
      sql
        .exec<ItemRow>(
          "SELECT idx, url, sha256, attempts FROM items WHERE idx BETWEEN ? AND ? AND state = 'waiting' ORDER BY idx",
          firstOf(chunk),
          lastOf(chunk),
        )
        .toArray()
        .map(({ idx, url, sha256, attempts }) => ({
          index: idx,
          url: url ?? undefined,
          sha256: sha256 ?? undefined,
          attempts,
        })),
    finish(index, outcome, counts) {
      const state: ItemState = outcome.status === "error" ? "failed" : outcome.status;
      const changed = sql
        .exec(
          "UPDATE items SET state = ?, outcome = ? WHERE idx = ? AND state = 'waiting' RETURNING idx",
          state,
          JSON.stringify(outcome),
          index,
        )
        .toArray();
      if (changed.length === 0) return;
      counts.waiting -= 1;
      counts[state] += 1;
    },
    attempted(index) {
      sql.exec("UPDATE items SET attempts = attempts + 1 WHERE idx = ?", index);
    },
    attemptsOf: (index) =>
      sql.exec<{ attempts: number }>("SELECT attempts FROM items WHERE idx = ?", index).one().attempts,
    cancelWaiting(counts) {
      const rows = sql
        .exec<{ idx: number }>(
          `SELECT idx FROM items WHERE state = 'waiting'
             AND idx / ${CHUNK_ITEMS} NOT IN (SELECT n FROM chunks WHERE state = 'taken')`,
        )
        .toArray();
      settle(rows, counts);
    },
    cancelChunk(chunk, counts) {
      const rows = sql
        .exec<{ idx: number }>(
          "SELECT idx FROM items WHERE idx BETWEEN ? AND ? AND state = 'waiting'",
          firstOf(chunk),
          lastOf(chunk),
        )
        .toArray();
      settle(rows, counts);
    },
    endUntaken: () =>
      sql
        .exec<{ n: number }>("UPDATE chunks SET state = 'done' WHERE state IN ('ready', 'sent') RETURNING n")
        .toArray()
        .map(({ n }) => n),
    linesOf: (chunk) =>
      sql
        .exec<LineRow>(
          "SELECT idx, id, metadata, outcome FROM items WHERE idx BETWEEN ? AND ? AND outcome IS NOT NULL ORDER BY idx",
          firstOf(chunk),
          lastOf(chunk),
        )
        .toArray()
        .map(lineOf),
    lines(from, limit) {
      const rows = sql
        .exec<LineRow>(
          "SELECT idx, id, metadata, outcome FROM items WHERE idx >= ? AND outcome IS NOT NULL ORDER BY idx LIMIT ?",
          from,
          limit,
        )
        .toArray();
      const last = rows.at(-1);
      return {
        lines: rows.map(lineOf),
        next: rows.length < limit || last === undefined ? undefined : last.idx + 1,
      };
    },
  };
}

function lineOf({ idx, id, metadata, outcome }: LineRow): string {
  const own = {
    index: idx,
    ...(id === null ? {} : { id }),
    ...(metadata === null ? {} : { metadata: JSON.parse(metadata) as unknown }),
  };
  return JSON.stringify({ ...own, ...(JSON.parse(outcome) as object) });
}
