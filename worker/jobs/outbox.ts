/** Webhook events of a job that are to be delivered, in SQLite, and when each is tried next. No network, no clock. */

import { WEBHOOK_DELAYS_MS, WEBHOOKS_AT_ONCE } from "./limits.ts";
import type { DeliveryOutcome } from "./webhook.ts";

export interface PendingEvent {
  readonly id: string;
  readonly type: string;
  readonly body: string;
}

export interface Outbox {
  create(): void;
  add(event: PendingEvent, due: number): void;
  /** Events to be tried at `now`, oldest first, as many as may be delivered in parallel. */
  due(now: number): PendingEvent[];
  isEmpty(): boolean;
  /** When the next one is to be tried, epoch milliseconds. */
  nextDue(): number | undefined;
  /** Records the result of a try: the event is done with, or is tried again later until no tries are left. */
  tried(id: string, outcome: DeliveryOutcome, now: number): "delivered" | "undelivered" | "pending";
}

export function createOutbox(sql: SqlStorage): Outbox {
  return {
    create() {
      sql.exec(`CREATE TABLE events (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL,
        body TEXT NOT NULL, tries INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL)`);
    },
    add({ id, type, body }, due) {
      sql.exec("INSERT OR IGNORE INTO events (id, type, body, due) VALUES (?, ?, ?, ?)", id, type, body, due);
    },
    due: (now) =>
      sql
        .exec<{ id: string; type: string; body: string }>(
          "SELECT id, type, body FROM events WHERE due <= ? ORDER BY n LIMIT ?",
          now,
          WEBHOOKS_AT_ONCE,
        )
        .toArray(),
    isEmpty: () => sql.exec("SELECT 1 FROM events LIMIT 1").toArray().length === 0,
    nextDue: () =>
      sql.exec<{ due: number | null }>("SELECT min(due) AS due FROM events").one().due ?? undefined,
    tried(id, outcome, now) {
      const [row] = sql.exec<{ tries: number }>("SELECT tries FROM events WHERE id = ?", id).toArray();
      const delay = outcome === "failed" ? WEBHOOK_DELAYS_MS[row?.tries ?? 0] : undefined;
      if (delay === undefined) {
        sql.exec("DELETE FROM events WHERE id = ?", id);
        return outcome === "delivered" ? "delivered" : "undelivered";
      }
      sql.exec("UPDATE events SET tries = tries + 1, due = ? WHERE id = ?", now + delay, id);
      return "pending";
    },
  };
}
