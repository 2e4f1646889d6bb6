/** What wrangler prints while the worker runs here, less what says nothing to whoever runs it. */

import type { Readable } from "node:stream";

/** A new message of wrangler begins with its mark; what follows belongs to it. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the mark is coloured.
const MESSAGE_BEGINS = /(?<=\n)(?=(?:\u001b\[\d+m)*[✘▲⎔🪵])/u;

/**
 * workerd prints its own stack whenever a fetch of the worker fails, such as of an address that does not resolve. The
 * worker answers and logs each of these itself.
 */
const FAILED_FETCH = /sentryErrorContext = jsgInternalError/;

/** wrangler says so of a runtime that ended by itself, and starts it again. */
const CRASH = /The Workers runtime crashed/;

/** Whether wrangler says in `text` that the runtime crashed. */
export function tellsOfCrash(text: string): boolean {
  return CRASH.test(text);
}

/** Passes on to `write` what whoever runs the worker can use. */
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
    // The last message may go on in the next chunk, which comes at once if so.
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
