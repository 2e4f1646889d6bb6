/** Matrices as flat arrays, row by row. */

/** [rows, columns] to [columns, rows]. */
export function transpose<T extends Float32Array | Int8Array>(values: T, columns: number): T {
  const rows = values.length / columns;
  const out = values.slice() as T;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      out[column * rows + row] = values[row * columns + column] as number;
    }
  }
  return out;
}
