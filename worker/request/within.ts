/** Bounds a wait. It does not cancel the work, which may still be of use to somebody else. */

export const TIMED_OUT = Symbol("timed out");

/** `work`'s value, or `TIMED_OUT` when it takes longer than `ms`. A rejection of `work` passes through. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T | typeof TIMED_OUT> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const timeout = new Promise<typeof TIMED_OUT>((resolve) => {
    timer = setTimeout(() => resolve(TIMED_OUT), ms);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
