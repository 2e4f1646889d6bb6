/** Forwards what wrangler prints while the worker runs here, except messages that are of no use to its user. */

import type { Readable } from "node:stream";

/** A new message of wrangler begins with its mark; the lines that follow belong to it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the mark is coloured.
const MESSAGE_BEGINS = /(?<=\n)(?=(?:\u001b\[\d+m)*[✘▲⎔🪵])/u;

/**
 * workerd prints its own stack whenever a fetch of the worker fails, for example because an address does not resolve. The
 * worker answers and logs each of these itself.
 */
const FAILED_FETCH = /sentryErrorContext = jsgInternalError/;

/** wrangler says this when a runtime ended by itself, and restarts it. */
const CRASH = /The Workers runtime crashed/;

/** Whether wrangler says in `text` that the runtime crashed. */
export function tellsOfCrash(text: string): boolean {
  return CRASH.test(text);
}

/** Passes on to `write` the messages that are of use to the worker's user. */
export function forwardOutput(from: Readable, write: (text: string) => void): void {
  let kept = "";
  let timer: ReturnType<typeof setTimeout> | undefined;
  const flush = (text: string) => {
    if (text.trim() !== "" && !FAILED_FETCH.test(text)) write(text);
  };
  from.setEncoding("utf8");
  from.on("data", (chunk: string) => {
    clearTimeout(timer);
    const messages = (kept + chunk).split(MESSAGE_BEGINS);
    kept = messages.pop() ?? "";
    for (const message of messages) flush(message);
    // The last message may continue in the next chunk, which then comes at once.
    timer = setTimeout(() => {
      flush(kept);
      kept = "";
    }, 50);
  });
  from.on("end", () => {
    clearTimeout(timer);
    flush(kept);
  });
}
