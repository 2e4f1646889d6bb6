/** Whether a file can be read, for what is there or not. */

import { constants } from "node:fs";
import { access } from "node:fs/promises";

export async function fileExists(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}
