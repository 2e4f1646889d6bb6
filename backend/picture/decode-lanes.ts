/** Lets few pictures decode at once, and fewer where they are huge: memory stays bounded. Knows nothing of pictures. */

export interface DecodeLanesOptions {
  /** Most pictures at once. */
  readonly lanes: number;
  /** Most pixels at once; a single picture of more than this gets all lanes for itself. */
  readonly maxPixels: number;
}

export interface DecodeLanes {
  /** Runs `job` once there is room for `pixels`, in order of arrival. */
  run<T>(pixels: number, job: () => Promise<T>): Promise<T>;
}

export function createDecodeLanes({ lanes, maxPixels }: DecodeLanesOptions): DecodeLanes {
  const waiting: { readonly pixels: number; readonly start: () => void }[] = [];
  let busyLanes = 0;
  let busyPixels = 0;

  const hasRoom = (pixels: number) =>
    busyLanes === 0 || (busyLanes < lanes && busyPixels + pixels <= maxPixels);

  function startWaiting(): void {
    for (let next = waiting[0]; next !== undefined && hasRoom(next.pixels); next = waiting[0]) {
      waiting.shift();
      busyLanes += 1;
      busyPixels += next.pixels;
      next.start();
    }
  }

  return {
    async run(pixels, job) {
      await new Promise<void>((start) => {
        waiting.push({ pixels, start });
        startWaiting();
      });
      try {
        return await job();
      } finally {
        busyLanes -= 1;
        busyPixels -= pixels;
        startWaiting();
      }
    },
  };
}
