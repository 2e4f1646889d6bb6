/**
 * Uploads of one file name take turns. Payload looks for a free name before our hook and takes it after: without turns a
 * second upload that comes while the first one waits for its description takes the same name, overwrites its file, and fails.
 */

/** For what comes before and after the wait for a description. */
const MARGIN_MS = 1000;
/** Turns that an upload waits for at most: it goes on then, and Payload refuses it at worst. */
const MOST_TURNS = 5;

export interface NameTurns {
  /** Waits until no other upload of this name is under way in this process; not without end. */
  take(collection: string, fileName: string): Promise<void>;
  /** The file has its name. Of an upload that fails nobody says so: its turn ends by itself. */
  end(collection: string, fileName: string): void;
}

/** Turns that end by themselves `waitMs` and a second after they began. */
export function createNameTurns(waitMs: number): NameTurns {
  const ends = new Map<string, () => void>();
  const lasts = new Map<string, Promise<void>>();
  // A conversion gives files of several extensions one name.
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
      // Keeps no process alive that has nothing else to do.
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
