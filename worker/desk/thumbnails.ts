/** Small thumbnails of files, each made only when its row comes near the view, because a decoded camera picture takes 50 MB. */

import pLimit from "p-limit";

/** Twice as many pixels as it is wide on the page, for dense screens. */
const WIDTH_PIXELS = 256;
/** A tall strip is shown 128 pixels high, and at a width of 256 pixels it would fit on no canvas. */
const MOST_HEIGHT_PIXELS = 1024;
const AT_ONCE = 2;
const NEAR = "600px";

export interface Thumbnails {
  /** Calls `show` with an address once `element` is near the view; never if the browser cannot decode the file. */
  make(element: Element, file: Blob, show: (address: string) => void): void;
  /** Releases all of them. */
  clear(): void;
}

export function createThumbnails(): Thumbnails {
  const limit = pLimit(AT_ONCE);
  const wanted = new Map<Element, () => Promise<void>>();
  let addresses: string[] = [];
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) {
        const work = wanted.get(target);
        if (!isIntersecting || work === undefined) continue;
        wanted.delete(target);
        observer.unobserve(target);
        void limit(work);
      }
    },
    { rootMargin: NEAR },
  );

  return {
    make(element, file, show) {
      wanted.set(element, async () => {
        const small = await shrunk(file).catch(() => undefined);
        if (small === undefined) return;
        const address = URL.createObjectURL(small);
        addresses.push(address);
        show(address);
      });
      observer.observe(element);
    },
    clear() {
      observer.disconnect();
      wanted.clear();
      for (const address of addresses) URL.revokeObjectURL(address);
      addresses = [];
    },
  };
}

/** A thumbnail, decoded and scaled off the page's thread. */
async function shrunk(file: Blob): Promise<Blob> {
  const bitmap = await createImageBitmap(file, { resizeWidth: WIDTH_PIXELS, resizeQuality: "medium" });
  try {
    const scale = Math.min(1, MOST_HEIGHT_PIXELS / bitmap.height);
    const [width, height] = [Math.ceil(bitmap.width * scale), Math.ceil(bitmap.height * scale)];
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d")?.drawImage(bitmap, 0, 0, width, height);
    return await canvas.convertToBlob({ type: "image/webp" });
  } finally {
    bitmap.close();
  }
}
