/** Ports of this machine that commands listen on: as an option, and whether they are free. */

import * as z from "zod";
import { isPortFree, portHolder } from "../local/port-holder.ts";
import { CommandError } from "./command-line.ts";

/** A port as an option chooses it. Not 0, which stands for any free port, because nobody could be told which one. */
export const Port = z.coerce.number().int().min(1).max(65_535);

/**
 * @param command as it is typed, e.g. `npm start`
 * @param ports keyed by the option that chooses each
 * @throws CommandError that names every port that is taken, who holds it, and the option that chooses another
 */
export async function requireFreePorts(
  command: string,
  ports: Readonly<Record<string, number>>,
): Promise<void> {
  const taken: string[] = [];
  for (const [option, port] of Object.entries(ports)) {
    if (await isPortFree(port)) continue;
    const holder = (await portHolder(port)) ?? "another process";
    taken.push(
      `Port ${port} is in use by ${holder}. End that process, or take another port: ${command} -- ${option} N`,
    );
  }
  if (taken.length > 0) throw new CommandError(taken.join("\n"));
}
