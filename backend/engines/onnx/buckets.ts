/**
 * Batch sizes that a GPU sees. Its arena keeps memory for every shape it has met and cuDNN searches anew for each, so a
 * batch is filled up to the next power of two, and all of them are met before the first caller.
 */

/** Powers of two below `maxBatchSize`, and itself. */
export function bucketsUpTo(maxBatchSize: number): number[] {
  const buckets: number[] = [];
  for (let size = 1; size < maxBatchSize; size *= 2) buckets.push(size);
  return [...buckets, maxBatchSize];
}

/**
 * Repeats the last row until the batch fills its bucket: a row that is there already ends no later than its original,
 * as a black picture might.
 * @param pixels uint8, `batch` rows
 * @returns the rows of the smallest of `buckets` that holds them, or `pixels` where none does
 */
export function fillBucket(
  pixels: Uint8Array,
  batch: number,
  buckets: readonly number[],
): { pixels: Uint8Array; rows: number } {
  const rows = buckets.find((size) => size >= batch) ?? batch;
  if (rows === batch) return { pixels, rows };
  const bytes = pixels.length / batch;
  const filled = new Uint8Array(rows * bytes);
  filled.set(pixels);
  const last = pixels.subarray((batch - 1) * bytes);
  for (let row = batch; row < rows; row++) filled.set(last, row * bytes);
  return { pixels: filled, rows };
}
