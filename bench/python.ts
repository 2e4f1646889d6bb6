/** Runs a Python script of ours for a measurement. */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { MeasurementError } from "./report.ts";

/**
 * What `script` (a path from the project's folder) prints.
 * @throws MeasurementError where there is no such Python, or a package is missing, with what to install
 */
export async function runPython(python: string, script: string, args: readonly string[]): Promise<string> {
  const file = fileURLToPath(new URL(`../${script}`, import.meta.url));
  try {
    const { stdout } = await promisify(execFile)(python, [file, ...args]);
    return stdout;
  } catch (cause) {
    const { code, stderr = "" } = cause as { readonly code?: unknown; readonly stderr?: string };
    if (code === "ENOENT") {
      throw new MeasurementError(`There is no Python at '${python}'. Name one: --python PYTHON`, { cause });
    }
    const missing = /No module named '([^']+)'/.exec(stderr)?.[1];
    throw new MeasurementError(
      missing === undefined
        ? `${script} failed: ${stderr.trim().split("\n").at(-1)}`
        : `'${python}' has no package ${missing}. Install what is needed: ${python} -m pip install -r training/requirements.txt`,
      { cause },
    );
  }
}
