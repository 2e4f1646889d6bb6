/** A folder of weights, and its name. */

import { basename, resolve } from "node:path";

/** A folder of weights, and the name that it is known by. */
export interface ModelFolder {
  /** Id of the repository, or the folder's name. */
  readonly id: string;
  readonly folder: string;
}

/** Names a folder of weights by the last two parts of its path, like a repository. */
export function folderId(folder: string): string {
  return resolve(folder).split("/").slice(-2).join("/") || basename(folder);
}
