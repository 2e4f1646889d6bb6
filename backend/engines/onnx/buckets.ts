/**
 * Batch sizes that a GPU sees. Its arena keeps memory for every shape it has met, and cuDNN searches anew for each.
 * So each batch is filled up to the next power of two, and the model runs at every such size before the first
 * caller comes.
 */

/** Powers of two below `maxBatchSize`, and `maxBatchSize` itself. */
export function bucketsUpTo(maxBatchSize: number): number[] {
  const buckets: number[] = [];
  for (let size = 1; size < maxBatchSize; size *= 2) buckets.push(size);
  return [...buckets, maxBatchSize];
}

/**
 * Fills a bucket by repeating the last row. A copy ends no later than its original, whereas a black picture might.
 * @param pixels uint8, `batch` rows
 * @returns the rows of the smallest of `buckets` that holds them, or `pixels` if none does
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
