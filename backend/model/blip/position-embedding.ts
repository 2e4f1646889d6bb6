/** Position embeddings for a picture size other than the trained one, as in transformers' `interpolate_pos_encoding`. */

/** The kernel's parameter in PyTorch's bicubic; Pillow resizes pictures with -0.5. */
const A = -0.75;

/**
 * Resizes the grid of patch positions by bicubic interpolation (Keys 1981), without aligned corners and with
 * repeated edges. The class position stays.
 * @param embedding float32 [1 + from * from, hidden]
 * @param from, to patches along an edge
 * @returns float32 [1 + to * to, hidden]
 */
export function interpolatePositions(
  embedding: Float32Array,
  hidden: number,
  from: number,
  to: number,
): Float32Array {
  if (from === to) return embedding;
  const taps = Array.from({ length: to }, (_, i) => edgeTaps(i, from, to));
  const out = new Float32Array((1 + to * to) * hidden);
  out.set(embedding.subarray(0, hidden));
  taps.forEach((rowTaps, row) => {
    taps.forEach((columnTaps, column) => {
      const at = (1 + row * to + column) * hidden;
      for (const [sourceRow, rowWeight] of rowTaps) {
        for (const [sourceColumn, columnWeight] of columnTaps) {
          const source = (1 + sourceRow * from + sourceColumn) * hidden;
          const weight = rowWeight * columnWeight;
          for (let k = 0; k < hidden; k++) {
            out[at + k] = (out[at + k] as number) + weight * (embedding[source + k] as number);
          }
        }
      }
    });
  });
  return out;
}

/** The four source indices and their weights for target index `i` along one edge. */
function edgeTaps(i: number, from: number, to: number): (readonly [index: number, weight: number])[] {
  const position = ((i + 0.5) * from) / to - 0.5;
  const floor = Math.floor(position);
  const fraction = position - floor;
  return [-1, 0, 1, 2].map((offset) => {
    const index = Math.min(from - 1, Math.max(0, floor + offset));
    return [index, cubic(Math.abs(offset - fraction))] as const;
  });
}

function cubic(x: number): number {
  if (x <= 1) return (A + 2) * x ** 3 - (A + 3) * x ** 2 + 1;
  if (x < 2) return A * x ** 3 - 5 * A * x ** 2 + 8 * A * x - 4 * A;
  return 0;
}
