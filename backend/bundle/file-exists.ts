/** Whether a file can be read, for files that may be missing. */

import { constants } from "node:fs";
import { access } from "node:fs/promises";

export async function fileExists(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}
