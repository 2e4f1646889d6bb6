/**
 * Permits bound the number of requests and the memory they hold. A request takes one before anything is spent on
 * it, and reserves its body's bytes as they arrive. If no permit is left, the request is refused, not queued. Bytes
 * that are still being read count even after their request has ended. Background work takes at most half of the
 * places.
 */

export interface AdmissionOptions {
  readonly maxRequests: number;
  readonly maxHeldBytes: number;
}

export interface Permit {
  /** Reserves memory for `bytes` more; returns false if all requests together would hold too much. */
  reserve(bytes: number): boolean;
  /** Keeps the reserved bytes counted until `settled` settles, even if the request ends earlier. */
  holdBytesUntil(settled: Promise<unknown>): void;
  /** Gives back the place, and the bytes that are no longer in use. */
  release(): void;
}

export interface Admission {
  /** Returns a permit, or undefined if none is free. */
  tryEnter(request?: { readonly isBackground: boolean }): Permit | undefined;
  /** How many requests hold a permit. */
  readonly inFlight: number;
}

export function createAdmission({ maxRequests, maxHeldBytes }: AdmissionOptions): Admission {
  let inFlight = 0;
  let inBackground = 0;
  let heldBytes = 0;
  return {
    tryEnter({ isBackground } = { isBackground: false }) {
      if (inFlight >= maxRequests || (isBackground && inBackground >= maxRequests / 2)) return undefined;
      inFlight += 1;
      if (isBackground) inBackground += 1;
      let reserved = 0;
      let inUse: Promise<unknown> | undefined;
      const giveBack = () => {
        heldBytes -= reserved;
      };
      return {
        reserve(bytes) {
          if (heldBytes + bytes > maxHeldBytes) return false;
          heldBytes += bytes;
          reserved += bytes;
          return true;
        },
        holdBytesUntil(settled) {
          inUse = settled;
        },
        release() {
          inFlight -= 1;
          if (isBackground) inBackground -= 1;
          if (inUse === undefined) giveBack();
          else inUse.then(giveBack, giveBack);
        },
      };
    },
    get inFlight() {
      return inFlight;
    },
  };
}
