/** The pictures of this visit, by the ids of their rows; they are never stored. */

import { contentHash } from "../../shared/content-hash.ts";
import type { Picture } from "./captioning.ts";

export interface Pictures {
  /** `isOnDisk`: the row's name is the name of a file on the person's disk. */
  set(id: string, picture: Picture, options?: { readonly isOnDisk?: boolean }): void;
  get(id: string): Picture | undefined;
  isOnDisk(id: string): boolean;
  delete(id: string): void;
}

export function createPictures(): Pictures {
  const pictures = new Map<string, Picture>();
  const onDisk = new Set<string>();
  return {
    set(id, picture, { isOnDisk = false } = {}) {
      pictures.set(id, picture);
      if (isOnDisk) onDisk.add(id);
    },
    get: (id) => pictures.get(id),
    isOnDisk: (id) => onDisk.has(id),
    delete(id) {
      pictures.delete(id);
      onDisk.delete(id);
    },
  };
}

/** The hash of a file; undefined if it cannot be read. */
export async function hashOf(file: Blob): Promise<string | undefined> {
  const bytes = await file.arrayBuffer().catch(() => undefined);
  return bytes === undefined ? undefined : contentHash(new Uint8Array(bytes));
}
