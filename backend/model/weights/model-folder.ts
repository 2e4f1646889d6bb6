/** A folder of weights and the name it goes by. */

import { basename, resolve } from "node:path";

/** Weights in a folder, under the name they are known by. */
export interface ModelFolder {
  /** Repository id, or the folder's name. */
  readonly id: string;
  readonly folder: string;
}

/** Names a folder of weights by its last two parts, as a repository would be. */
export function folderId(folder: string): string {
  return resolve(folder).split("/").slice(-2).join("/") || basename(folder);
}
