import { Writable } from "node:stream";
import { describe, expect, onTestFinished, test } from "vitest";
import { printLines, whileWaiting } from "../../commands/progress.ts";

/** All that is written to standard error until the test ends, as a terminal or a pipe gets it. */
function stderrOf(terminal: boolean): () => string {
  const { isTTY, write } = process.stderr;
  let written = "";
  process.stderr.isTTY = terminal;
  process.stderr.write = ((text: string) => {
    written += text;
    return true;
  }) as typeof write;
  onTestFinished(() => {
    Object.assign(process.stderr, { isTTY, write });
  });
  return () => written;
}

/** The rows that a terminal shows of `text`: a carriage return goes back, ESC [K wipes from there. */
const shown = (text: string) =>
  text.split("\n").map((row) => row.split("\r").reduce((line, next) => overwrite(line, next), ""));

function overwrite(line: string, next: string): string {
  const parts = next.split("\u001b[K");
  const text = parts.join("");
  return parts.length > 1 ? text : text + line.slice(text.length);
}

describe("what is printed while something is waited for", () => {
  test("gets rows of its own above the waiting line of a terminal", async () => {
    const written = stderrOf(true);
    let end = () => {};
    const waited = whileWaiting("Loading the model", new Promise<void>((resolve) => (end = resolve)));
    printLines(process.stderr, '{"level":"warn"}\n');
    expect(shown(written())).toEqual(['{"level":"warn"}', "Loading the model 0 s"]);
    end();
    await waited;
    printLines(process.stderr, "one more\n");
    expect(shown(written())).toEqual(['{"level":"warn"}', "Loading the model 0 s", "one more", ""]);
  });

  test("is passed on unchanged if no terminal line is being rewritten", async () => {
    const written = stderrOf(false);
    const parts: string[] = [];
    const output = new Writable({
      write: (chunk, _encoding, done) => {
        parts.push(String(chunk));
        done();
      },
    });
    await whileWaiting(
      "Loading the model",
      Promise.resolve().then(() => printLines(output, "a line\n")),
    );
    expect(written()).toBe("Loading the model\n");
    expect(parts).toEqual(["a line\n"]);
  });

  test("a wait that fails leaves the row to what is said about it", async () => {
    const written = stderrOf(true);
    await expect(whileWaiting("Starting the API", Promise.reject(new Error("ended")))).rejects.toThrow(
      "ended",
    );
    expect(shown(written())).toEqual(["Starting the API", ""]);
  });
});
