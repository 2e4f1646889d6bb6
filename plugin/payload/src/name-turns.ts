/**
 * Makes uploads with the same file name take turns. Payload looks for a free name before our hook and claims it
 * afterwards. Without turns, a second upload that comes while the first one waits for its description takes the
 * same name, overwrites the file, and fails.
 */

/** For the time before and after the wait for a description. */
const MARGIN_MS = 1000;
/** Most turns that an upload waits for. It then goes on, and at worst Payload refuses it. */
const MOST_TURNS = 5;

export interface NameTurns {
  /** Waits, but not for ever, until no other upload of this name is under way in this process. */
  take(collection: string, fileName: string): Promise<void>;
  /** Called when the file has its name. A failed upload never calls it, so its turn ends by itself. */
  end(collection: string, fileName: string): void;
}

/** Creates turns that end by themselves `waitMs` and a second after they began. */
export function createNameTurns(waitMs: number): NameTurns {
  const ends = new Map<string, () => void>();
  const lasts = new Map<string, Promise<void>>();
  // A conversion can give files with different extensions the same name.
  const keyOf = (collection: string, fileName: string) => `${collection}/${fileName.replace(/\.[^.]*$/, "")}`;

  return {
    async take(collection, fileName) {
      const key = keyOf(collection, fileName);
      const before = lasts.get(key);
      let end = () => {};
      const over = new Promise<void>((resolve) => {
        end = resolve;
      });
      lasts.set(key, over);
      void over.then(() => {
        if (ends.get(key) === end) ends.delete(key);
        if (lasts.get(key) === over) lasts.delete(key);
      });
      if (before !== undefined) await atMost(MOST_TURNS * (waitMs + MARGIN_MS), before);
      ends.set(key, end);
      // Does not keep the process alive.
      setTimeout(end, waitMs + MARGIN_MS).unref();
    },
    end(collection, fileName) {
      ends.get(keyOf(collection, fileName))?.();
    },
  };
}

function atMost(ms: number, over: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    void over.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
