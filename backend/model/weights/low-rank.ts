/**
 * LoRA's and DoRA's arithmetic on one tensor, in place. Hu et al. 2021, arXiv:2106.09685; Liu et al. 2024,
 * arXiv:2402.09353.
 */

/** W as rows: a linear layer's [out, in], a convolution's [out, in * height * width], an embedding's [words, hidden]. */
export interface Rows {
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
}

/** `a` is [rank, columns] and `b` [rows, rank]; if `transposed`, they are [rank, rows] and [columns, rank], for W^T. */
export interface LowRank {
  readonly a: Float32Array;
  readonly b: Float32Array;
  readonly rank: number;
  readonly scale: number;
  readonly transposed: boolean;
}

/** W += scale * B A, or its transpose. */
export function addLowRank(
  { values, rows, columns }: Rows,
  { a, b, rank, scale, transposed }: LowRank,
): void {
  const [outer, inner] = transposed ? [columns, rows] : [rows, columns];
  const delta = new Float64Array(inner);
  for (let row = 0; row < outer; row++) {
    delta.fill(0);
    for (let k = 0; k < rank; k++) {
      const factor = b[row * rank + k] as number;
      for (let column = 0; column < inner; column++) {
        delta[column] = (delta[column] as number) + factor * (a[k * inner + column] as number);
      }
    }
    for (let column = 0; column < inner; column++) {
      const at = transposed ? column * columns + row : row * columns + column;
      values[at] = (values[at] as number) + scale * (delta[column] as number);
    }
  }
}

/**
 * W *= magnitude / ||W||, by the norm of each row, or of each column if `byColumn`.
 * @param magnitude [rows] or [columns]
 */
export function setMagnitudes(
  { values, rows, columns }: Rows,
  { magnitude, byColumn }: { readonly magnitude: Float32Array; readonly byColumn: boolean },
): void {
  const squares = new Float64Array(byColumn ? columns : rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = byColumn ? column : row;
      squares[at] = (squares[at] as number) + (values[row * columns + column] as number) ** 2;
    }
  }
  const factors = squares.map((square, i) => (magnitude[i] as number) / Math.sqrt(square));
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      values[at] = (values[at] as number) * (factors[byColumn ? column : row] as number);
    }
  }
}
