/** Every limit that both sides of the wire must agree on, with its unit in its name. No logic. */

/** Largest accepted picture. Cloudflare's own body limit is 100 MB; a photograph at full phone resolution is under 20. */
export const MAX_IMAGE_BYTES = 20 * 1024 * 1024;

/** Largest accepted width x height: a decompression bomb is refused by its header, before it is decoded. */
export const MAX_IMAGE_PIXELS = 100_000_000;

export const MAX_NEW_TOKENS = 50;
export const MAX_NUM_BEAMS = 8;
export const MAX_PROMPT_CHARACTERS = 200;

/** Up to about this length, screen readers read alt text in one breath. */
export const DEFAULT_ALT_CHARACTERS = 125;
export const MIN_ALT_CHARACTERS = 20;
export const MAX_ALT_CHARACTERS = 500;

/** The longest address that Cloudflare accepts, too. */
export const MAX_URL_CHARACTERS = 16_384;

export const MAX_BATCH_ITEMS = 100;

/** Base64 is a third longer than its bytes, plus line ends; the rest is room for the other fields. */
export const MAX_JSON_BYTES = Math.ceil((MAX_IMAGE_BYTES * 4 * 1.05) / 3) + 64 * 1024;
/** Leaves room for the boundaries and option fields around a form's picture. */
export const MAX_FORM_BYTES = MAX_IMAGE_BYTES + 64 * 1024;
export const MAX_JOB_ITEMS = 10_000;
/** A job's items are references, so this is room for long addresses and some metadata. */
export const MAX_JOB_BYTES = 16 * 1024 * 1024;
export const MAX_JOB_ITEM_ID_CHARACTERS = 200;
/** As JSON. */
export const MAX_JOB_METADATA_CHARACTERS = 4_096;
export const MAX_WEBHOOK_CHARACTERS = 2_048;

/** The worker holds a batch in memory, and has 128 MB of it. */
export const MAX_BATCH_BYTES = 32 * 1024 * 1024;

/** The longest that a timer can wait, 24 days. Node's timers fire at once if they are asked to wait longer. */
export const MAX_TIMER_MS = 2 ** 31 - 1;
