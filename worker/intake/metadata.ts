/** What callers send along with an item and get back with its line. */

/** Limited because writing JSON runs out of stack at a depth that reading it allows. */
const MAX_METADATA_DEPTH = 64;

/**
 * What was expected instead, if a value is refused; undefined if it can come back as it is. Checks level by level, because
 * recursion would itself run out of stack.
 */
export function refuseMetadata(value: unknown): string | undefined {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= MAX_METADATA_DEPTH; depth++) {
    // JavaScript has lost digits of such a number, so another number would come back, such as the id of another picture.
    if (level.some((inner) => typeof inner === "number" && Math.abs(inner) > Number.MAX_SAFE_INTEGER)) {
      return `expected numbers of at most ${Number.MAX_SAFE_INTEGER}; send larger ones as text`;
    }
    level = level.flatMap((inner) =>
      typeof inner === "object" && inner !== null ? Object.values(inner) : [],
    );
    if (level.length === 0) return undefined;
  }
  return `expected at most ${MAX_METADATA_DEPTH} levels`;
}
