/** What is to be done on the desk: one row per picture, its state, and what a person decided. No DOM, no network. */

import type { Caption } from "../../client/index.ts";
import { DEFAULT_ALT_CHARACTERS } from "../../shared/limits.ts";

/** The state of a row's caption. */
export type RowState =
  | { readonly kind: "waiting" }
  | { readonly kind: "asking" }
  | { readonly kind: "captioned"; readonly cached: boolean }
  | { readonly kind: "failed"; readonly reason: string; readonly canRetry: boolean }
  /** After a reload: its hash is known, its bytes are not. */
  | { readonly kind: "lost" };

/** What a person decided about a row. */
export type Decision = "open" | "accepted" | "decorative" | "skipped";

export interface Row {
  readonly id: string;
  /** File name or address. */
  readonly name: string;
  readonly url: string | undefined;
  readonly sha256: string | undefined;
  readonly state: RowState;
  /** The model's caption, shaped as alt text; undefined before there is one. */
  readonly original: string | undefined;
  /** Id of the model that said it. */
  readonly model: string | undefined;
  readonly needsReview: boolean;
  /** The present text, which is the person's. */
  readonly text: string;
  readonly decision: Decision;
}

export interface Progress {
  readonly done: number;
  readonly total: number;
  readonly failed: number;
}

export interface Worklist {
  readonly rows: readonly Row[];
  add(row: Pick<Row, "id" | "name" | "url"> & Partial<Row>): void;
  change(id: string, changes: Partial<Omit<Row, "id">>): void;
  /**
   * Takes over a row that another window has changed and stored, so no listener is told. If its picture is under way there,
   * this window keeps its own state.
   */
  adopt(row: Row): void;
  /** A caption has arrived. A text that a person has begun stays. */
  caption(id: string, caption: Pick<Caption, "sha256" | "alt" | "needs_review" | "cached" | "model">): void;
  decide(id: string, decision: Decision): void;
  /** Takes the last decision back that can be, and returns the id of its row. */
  undo(): string | undefined;
  remove(ids: readonly string[]): void;
  get(id: string): Row | undefined;
  /** The row to work on after `id`: the next open one with a caption, else the next open one. The search goes on from the top. */
  next(id: string, order: readonly Row[]): Row | undefined;
  progress(): Progress;
  /**
   * Calls `listener` with each row that changes, and whether a person changed its words, but not with one that is added:
   * that is as the store has it, or older if another window has changed it since.
   */
  onChange(listener: (row: Row, how: { readonly isByPerson: boolean }) => void): void;
}

export function createWorklist(): Worklist {
  let rows: readonly Row[] = [];
  let past: readonly Pick<Row, "id" | "decision" | "text">[] = [];
  const listeners: Parameters<Worklist["onChange"]>[0][] = [];

  function change(
    id: string,
    changes: Partial<Omit<Row, "id">>,
    isByPerson = "text" in changes || "decision" in changes,
  ): void {
    let changed: Row | undefined;
    rows = rows.map((row) => {
      if (row.id !== id) return row;
      changed = { ...row, ...changes };
      return changed;
    });
    if (changed === undefined) return;
    for (const listener of listeners) listener(changed, { isByPerson });
  }

  const get = (id: string) => rows.find((row) => row.id === id);

  return {
    get rows() {
      return rows;
    },
    get,
    add(row) {
      const added: Row = {
        sha256: undefined,
        state: { kind: "waiting" },
        original: undefined,
        model: undefined,
        needsReview: false,
        text: "",
        decision: "open",
        ...row,
      };
      rows = [...rows, added];
    },
    change: (id, changes) => change(id, changes),
    adopt(theirs) {
      const isUnderWay = theirs.state.kind === "waiting" || theirs.state.kind === "asking";
      rows = rows.map((row) =>
        row.id === theirs.id ? { ...theirs, state: isUnderWay ? row.state : theirs.state } : row,
      );
    },
    caption(id, { sha256, alt, needs_review, cached, model }) {
      const row = get(id);
      if (row === undefined) return;
      const isUntouched = row.text === "" || row.text === row.original;
      const captioned = {
        sha256,
        original: alt,
        model: model.id,
        needsReview: needs_review,
        state: { kind: "captioned", cached } as const,
        ...(isUntouched ? { text: alt } : {}),
      };
      change(id, captioned, false);
    },
    decide(id, decision) {
      const row = get(id);
      if (row === undefined) return;
      past = [...past, { id, decision: row.decision, text: row.text }];
      change(id, { decision });
    },
    undo() {
      const i = past.findLastIndex(({ id, decision, text }) => {
        const row = get(id);
        // Words that have changed since then are not what was decided on.
        return row?.decision !== decision && (decision === "open" || row?.text === text);
      });
      const last = past[i];
      past = past.slice(0, Math.max(0, i));
      if (last !== undefined) change(last.id, { decision: last.decision });
      return last?.id;
    },
    remove(ids) {
      const gone = new Set(ids);
      rows = rows.filter(({ id }) => !gone.has(id));
      past = past.filter(({ id }) => !gone.has(id));
    },
    next(id, order) {
      const at = order.findIndex((row) => row.id === id);
      const ahead = [...order.slice(at + 1), ...order.slice(0, Math.max(0, at))];
      const isOpen = (row: Row) => row.decision === "open" && get(row.id)?.decision === "open";
      return ahead.find((row) => isOpen(row) && row.state.kind === "captioned") ?? ahead.find(isOpen);
    },
    progress: () => ({
      done: rows.filter(({ decision }) => decision !== "open").length,
      total: rows.length,
      failed: rows.filter(({ state }) => state.kind === "failed").length,
    }),
    onChange(listener) {
      listeners.push(listener);
    },
  };
}

/** Rows in the order to work through: as they came, or those that a person should look at first. */
export function inOrder(rows: readonly Row[], reviewFirst: boolean): readonly Row[] {
  if (!reviewFirst) return rows;
  const rank = (row: Row) => (row.state.kind === "failed" ? 0 : row.needsReview ? 1 : 2);
  return [...rows].sort((a, b) => rank(a) - rank(b));
}

/** The verdict on a caption, in words. */
export function verdictOf({ state, needsReview, decision, text, original }: Row): string {
  if (decision === "accepted") return text.trim() === original ? "Accepted" : "Accepted, in your words";
  if (decision === "decorative") return "Decorative: screen readers skip it";
  if (decision === "skipped") return "Skipped: not exported";
  switch (state.kind) {
    case "waiting":
      return "Waiting for its turn";
    case "asking":
      return "Being captioned";
    case "failed":
      return state.reason;
    case "lost":
      return "Add its file again to have it captioned";
    case "captioned": {
      const from = state.cached ? " It was captioned before." : "";
      return needsReview
        ? `Unsure: check people, animals, place.${from}`
        : `The model is fairly sure. Look it over.${from}`;
    }
  }
}

/** By how many characters a text is longer than a screen reader reads in one breath; 0 or less if it is not. */
export function excessOf(text: string): number {
  return text.trim().length - DEFAULT_ALT_CHARACTERS;
}

/** How long a text is, in words. */
export function lengthOf(text: string): string {
  const excess = excessOf(text);
  const length = `${text.trim().length} of ${DEFAULT_ALT_CHARACTERS} characters`;
  return excess > 0 ? `${length}: ${excess} too many` : length;
}
