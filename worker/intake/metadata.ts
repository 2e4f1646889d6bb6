/** What callers send along with an item and get back with its line. */

/** Writing JSON runs out of stack in the depth that reading it allows. */
const MAX_METADATA_DEPTH = 64;

/**
 * What is expected of a value that is not taken along; undefined where it comes back as it is. Level by level: recursion
 * would run out of stack itself.
 */
export function refuseMetadata(value: unknown): string | undefined {
  let level: unknown[] = [value];
  for (let depth = 0; depth <= MAX_METADATA_DEPTH; depth++) {
    // JavaScript has lost digits of such a number: it would come back as another one, the id of another picture.
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
