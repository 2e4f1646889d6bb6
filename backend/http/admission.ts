/**
 * Permits: a request takes one before anything is spent on it, and reserves its body's bytes as they arrive. None left
 * is an answer, not a queue. So both the number of requests and the memory they hold are bounded. Bytes that somebody
 * still reads count after their request has ended. Background work takes at most half of the places.
 */

export interface AdmissionOptions {
  readonly maxRequests: number;
  readonly maxHeldBytes: number;
}

export interface Permit {
  /** Reserves memory for `bytes` more; false if that is more than all requests together may hold. */
  reserve(bytes: number): boolean;
  /** From now on the reserved bytes stay counted until this settles, though the request may end before. */
  holdBytesUntil(settled: Promise<unknown>): void;
  /** Gives back the place, and the bytes that nobody holds. */
  release(): void;
}

export interface Admission {
  /** A permit now, or undefined. */
  tryEnter(request?: { readonly isBackground: boolean }): Permit | undefined;
  /** Requests that hold a permit. */
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
