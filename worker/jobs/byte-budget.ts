/** Bytes that may be held at once, given out in the order in which they are asked for. No I/O. */

export interface ByteBudget {
  /** Resolves when `bytes` more may be held; a request for more than the whole budget waits for all of it. */
  take(bytes: number): Promise<void>;
  giveBack(bytes: number): void;
}

export function createByteBudget(totalBytes: number): ByteBudget {
  let free = totalBytes;
  const waiting: { readonly bytes: number; readonly go: () => void }[] = [];
  const capped = (bytes: number) => Math.min(bytes, totalBytes);

  function letIn(): void {
    for (let next = waiting[0]; next !== undefined && next.bytes <= free; next = waiting[0]) {
      waiting.shift();
      free -= next.bytes;
      next.go();
    }
  }

  return {
    take: (bytes) =>
      new Promise((go) => {
        waiting.push({ bytes: capped(bytes), go });
        letIn();
      }),
    giveBack(bytes) {
      free += capped(bytes);
      letIn();
    },
  };
}
