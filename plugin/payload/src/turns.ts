/**
 * Decides which of a site's processes runs the plugin's queues. Processes take turns of half a minute. Whoever has
 * a turn claims the next one in time, so one process keeps them as long as it lives. A turn is a row whose number
 * is unique in the database. Clocks may differ by a quarter of a minute.
 */

import type { CollectionConfig, CollectionSlug, Payload } from "payload";
import { TURN_MS } from "./limits.ts";
import { TURNS_COLLECTION } from "./names.ts";

export const turnsCollection: CollectionConfig = {
  slug: TURNS_COLLECTION,
  access: { read: () => false, create: () => false, update: () => false, delete: () => false },
  admin: { hidden: true },
  lockDocuments: false,
  timestamps: false,
  fields: [{ name: "turn", type: "number", required: true, unique: true, index: true }],
};

const collection = TURNS_COLLECTION as CollectionSlug;

/** Creates a function that asks whether it is this process's turn. `now` is the clock, in epoch milliseconds. */
export function createTurns(payload: Payload, now: () => number = Date.now): () => Promise<boolean> {
  const taken = new Map<number, Promise<boolean>>();

  /** Asks once per turn, because its owner does not change. */
  function take(turn: number): Promise<boolean> {
    const asked = taken.get(turn) ?? insert(payload, turn);
    taken.set(turn, asked);
    for (const old of taken.keys()) if (old < turn - 1) taken.delete(old);
    asked.catch(() => taken.delete(turn));
    return asked;
  }

  return async () => {
    const at = now();
    const turn = Math.floor(at / TURN_MS);
    if (!(await take(turn))) return false;
    if (at - turn * TURN_MS >= TURN_MS / 2) await take(turn + 1);
    return true;
  };
}

/** Resolves with false if another process has the turn. */
async function insert(payload: Payload, turn: number): Promise<boolean> {
  if (await isTaken(payload, turn)) return false;
  try {
    await payload.db.create({ collection, data: { turn }, req: {} });
  } catch (error) {
    if (await isTaken(payload, turn)) return false;
    throw error;
  }
  await payload.db.deleteMany({ collection, where: { turn: { less_than: turn - 1 } }, req: {} });
  return true;
}

async function isTaken(payload: Payload, turn: number): Promise<boolean> {
  const where = { turn: { equals: turn } };
  return (await payload.db.count({ collection, where, req: {} })).totalDocs > 0;
}
