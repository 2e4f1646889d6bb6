/**
 * Keeps rows that a page could not finish writing when it was left: IndexedDB sometimes drops a write together with its
 * page, while localStorage has it before a `pagehide` handler returns. One entry per row, as a string that the reader
 * checks anyway.
 */

const PREFIX = "alt-text-desk:";

/** If the browser forbids it or has no room, nothing is left. */
function tried<T>(on: (storage: Storage) => T): T | undefined {
  try {
    return on(localStorage);
  } catch {
    return undefined;
  }
}

/** Leaves a row for the next page. */
export function leave(id: string, row: object): void {
  tried((storage) => storage.setItem(PREFIX + id, JSON.stringify(row)));
}

/** What was left of a row; undefined if nothing was. */
export function left(id: string): unknown {
  return tried((storage) => JSON.parse(storage.getItem(PREFIX + id) ?? "null")) ?? undefined;
}

/** The ids of all rows that were left. */
export function idsLeft(): readonly string[] {
  const keys = tried((storage) => Object.keys(storage)) ?? [];
  return keys.filter((key) => key.startsWith(PREFIX)).map((key) => key.slice(PREFIX.length));
}

export function forget(id: string): void {
  tried((storage) => storage.removeItem(PREFIX + id));
}

/** Calls `listener` with the id of each row that another window leaves. */
export function onLeft(listener: (id: string) => void): void {
  window.addEventListener("storage", ({ key, newValue }) => {
    if (newValue !== null && key?.startsWith(PREFIX)) listener(key.slice(PREFIX.length));
  });
}
