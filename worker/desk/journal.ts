/**
 * Rows whose writing a page could not wait for as it was left: IndexedDB at times gives a write up with its page, while
 * localStorage has it before a `pagehide` handler returns. One entry a row; strings, as their reader checks them anyway.
 */

const PREFIX = "alt-text-desk:";

/** Where the browser forbids it or has no room, nothing is left. */
function tried<T>(on: (storage: Storage) => T): T | undefined {
  try {
    return on(localStorage);
  } catch {
    return undefined;
  }
}

/** Leaves a row for the page that comes next. */
export function leave(id: string, row: object): void {
  tried((storage) => storage.setItem(PREFIX + id, JSON.stringify(row)));
}

/** What was left of a row; undefined where nothing was. */
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

/** Told of each row that another window leaves. */
export function onLeft(listener: (id: string) => void): void {
  window.addEventListener("storage", ({ key, newValue }) => {
    if (newValue !== null && key?.startsWith(PREFIX)) listener(key.slice(PREFIX.length));
  });
}
