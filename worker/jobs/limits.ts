/** Every number of the jobs, with its unit in its name. */

/** Items that one queue message stands for; it holds none of them. */
export const CHUNK_ITEMS = 25;
/** Most messages of a job that are under way at once. */
export const CHUNKS_IN_FLIGHT = 80;
/** Bytes of pictures that one consumer holds at once; the platform gives an isolate 128 MB. */
export const HELD_PICTURE_BYTES = 48 * 1024 * 1024;
/** Results go to the job in groups of this many, so that little is lost with a consumer. */
export const RESULTS_A_RECORD = 8;
/** Items handed to a job in one call while its request is read. */
export const ITEMS_A_CALL = 500;
/** Lines read from a job in one call. */
export const LINES_A_READ = 500;

/** Tries of an item whose failure may pass. */
export const ITEM_ATTEMPTS = 3;
/** How often a chunk may be begun and not ended before the item at which it always ends is given up. */
export const CHUNK_TAKES = 4;
/** Pauses in a row that hosts of pictures may ask for, with nothing done in between, before such pauses cost items their tries. */
export const FRUITLESS_HOST_PAUSES = 20;
/** The shortest pause, and the longest, that a host of pictures gets, whatever it asks for. */
export const MIN_HOST_PAUSE_MS = 1_000;
export const MAX_HOST_PAUSE_MS = 10 * 60_000;
/** Pause after a failure that may pass and names no time of its own. */
export const RETRY_DELAY_MS = 5_000;

/** A request that is not committed this long after its body was due is forgotten, because whatever was receiving it has ended. */
export const RECEIVE_GRACE_MS = 30_000;
const DAY_MS = 24 * 3_600_000;
/** A job and its results are kept this long after its end. */
export const RESULTS_TTL_MS = 7 * DAY_MS;
/** A job that is not done by then fails. It is this long because a small daily quota may hold a job up for many days. */
export const JOB_TIMEOUT_MS = 30 * DAY_MS;

/** Waits before each further try of a webhook, a day in all, as Standard Webhooks recommends. */
export const WEBHOOK_DELAYS_MS: readonly number[] = [
  5_000,
  5 * 60_000,
  30 * 60_000,
  2 * 3_600_000,
  5 * 3_600_000,
  7 * 3_600_000,
  9 * 3_600_000,
];
/** Events of a job that are delivered in parallel: the platform gives an invocation six connections. */
export const WEBHOOKS_AT_ONCE = 6;
export const WEBHOOK_TIMEOUT_MS = 15_000;
/** How often a job is looked after while its events are being delivered. */
export const WEBHOOK_GO_ON_MS = 1_000;
export const WEBHOOK_REDIRECTS = 3;
