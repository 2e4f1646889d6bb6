/** What callers send along with an item and get back with its line. */

/** Writing JSON runs out of stack in the depth that reading it allows. */
export const MAX_METADATA_DEPTH = 64;

/** Whether a value nests deeper than is written back. Level by level: recursion would run out of stack itself. */
export function isTooDeep(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= MAX_METADATA_DEPTH; depth++) {
    level = level.flatMap((inner) =>
      typeof inner === "object" && inner !== null ? Object.values(inner) : [],
    );
    if (level.length === 0) return false;
  }
  return true;
}
