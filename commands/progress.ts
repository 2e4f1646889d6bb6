/**
 * What a command says on standard error while it works: a line rewritten in place on a terminal, a new line now and then
 * elsewhere.
 */

const UNITS = ["bytes", "kB", "MB", "GB", "TB"] as const;
const ELSEWHERE_EVERY_MS = 10_000;

/** A size in the unit that fits it: `28 bytes`, `3.2 kB`, `896 MB`. */
export function formatBytes(bytes: number): string {
  const power = Math.min(UNITS.length - 1, bytes < 1000 ? 0 : Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${power > 0 && value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${UNITS[power]}`;
}

/** A line with the size done and the rate, for something of a known size. */
export function progressLine(label: string): (doneBytes: number, totalBytes: number) => void {
  const terminal = process.stderr.isTTY;
  const startedAt = performance.now();
  let shown = -1;
  return (done, total) => {
    const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
    if (percent === shown || (percent < shown + (terminal ? 1 : 25) && percent < 100)) return;
    shown = percent;
    const rate = done / Math.max(1e-3, (performance.now() - startedAt) / 1000);
    const line = `${label} ${percent}% of ${formatBytes(total)}, ${formatBytes(rate)}/s`;
    process.stderr.write(terminal ? `\r${line}\u001b[K${percent === 100 ? "\n" : ""}` : `${line}\n`);
  };
}

/** A line that counts how many are done, kept apart from other output meanwhile. */
export function countLine(label: string, total: number): { done(count: number): void; end(): void } {
  const terminal = process.stderr.isTTY;
  const startedAt = performance.now();
  let shownAt = startedAt;
  return {
    done(count) {
      const now = performance.now();
      if (!terminal && (now - shownAt < ELSEWHERE_EVERY_MS || count === total)) return;
      shownAt = now;
      const rate = count / Math.max(1e-3, (now - startedAt) / 1000);
      const line = `${label} ${count} of ${total}, ${rate.toFixed(1)}/s${timeLeft((total - count) / rate)}`;
      process.stderr.write(terminal ? `\r${line}\u001b[K` : `${line}\n`);
    },
    end() {
      if (terminal) process.stderr.write("\r\u001b[K");
    },
  };
}

/** The time left, after a comma, once there is a rate: `, about 3 min left`. */
function timeLeft(seconds: number): string {
  if (!Number.isFinite(seconds) || seconds < 1) return "";
  const minutes = seconds / 60;
  return `, about ${minutes < 2 ? `${Math.ceil(seconds)} s` : `${Math.ceil(minutes)} min`} left`;
}

/** Shows the line again that `whileWaiting` is rewriting on the terminal, if there is one. */
let showWaiting: (() => void) | undefined;

/** A line with the seconds that `work` has taken so far, for work whose progress cannot be measured. */
export async function whileWaiting<T>(label: string, work: Promise<T>): Promise<T> {
  const terminal = process.stderr.isTTY;
  const startedAt = performance.now();
  const show = () => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    process.stderr.write(terminal ? `\r${label} ${seconds} s\u001b[K` : `${label} ${seconds} s\n`);
  };
  process.stderr.write(terminal ? label : `${label}\n`);
  if (terminal) showWaiting = show;
  const timer = setInterval(show, terminal ? 1000 : ELSEWHERE_EVERY_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
    showWaiting = undefined;
    if (terminal) process.stderr.write("\n");
  }
}

/** Prints whole lines of other output on rows of their own, above the line that is being rewritten. */
export function printLines(to: NodeJS.WritableStream, lines: string): void {
  if (showWaiting !== undefined) process.stderr.write("\r\u001b[K");
  to.write(lines);
  showWaiting?.();
}
