/** The plugin's options, checked once when the site's config is built. */

import { Cron } from "croner";
import * as z from "zod";
import { DEFAULT_INLINE_TIMEOUT_MS, DEFAULT_RUNNER_CRON } from "./limits.ts";

const Collection = z.union([
  z.string().min(1),
  z.strictObject({
    slug: z.string().min(1),
    /** Name of the text field, wherever it is in the collection. */
    field: z.string().min(1).default("alt"),
  }),
]);

const slugOf = (entry: z.infer<typeof Collection>) => (typeof entry === "string" ? entry : entry.slug);

const CronLine = z.string().refine(isCronLine, { error: "expected a cron line, such as */5 * * * * *" });

function isCronLine(line: string): boolean {
  try {
    new Cron(line, { paused: true });
    return true;
  } catch {
    return false;
  }
}

const Options = z.strictObject({
  endpoint: z.url({ protocol: /^https?$/, error: "expected the address of the caption API, http or https" }),
  // A header accepts nothing else.
  apiKey: z
    .string()
    .trim()
    .regex(/^[!-~]+$/, "expected a key such as ate_...; leave the option out if the API is open")
    .optional(),
  collections: z
    .array(Collection)
    .min(1, "expected at least one upload collection")
    .refine((chosen) => new Set(chosen.map(slugOf)).size === chosen.length, {
      error: "expected each collection once, with the one field that holds its text",
    }),
  locale: z.string().min(1).optional(),
  inlineTimeoutMs: z.number().int().min(0).max(30_000).default(DEFAULT_INLINE_TIMEOUT_MS),
  runner: z.union([CronLine, z.literal(false)]).default(DEFAULT_RUNNER_CRON),
  enabled: z.boolean().default(true),
});

/** Options of `altText`. */
export interface AltTextOptions {
  /** Address of the caption API, e.g. `https://captions.example.org`. */
  readonly endpoint: string;
  /** `ate_...`; leave it out if the API is open. */
  readonly apiKey?: string | undefined;
  /** Upload collections: slugs, or a slug with the name of the field that holds the text (`alt` by default). */
  readonly collections: readonly (string | { readonly slug: string; readonly field?: string })[];
  /**
   * Locale that is written if the text is localized; captions are English.
   * @default the site's first locale whose code begins with `en`
   */
  readonly locale?: string | undefined;
  /**
   * The longest an upload waits for its description, in milliseconds; with 0 a job does all of it.
   * @default 2000
   */
  readonly inlineTimeoutMs?: number | undefined;
  /**
   * How often this process runs the plugin's jobs, as a cron line with seconds; `false` if `payload jobs:run` or a
   * scheduler runs them.
   * @default every 5 seconds
   */
  readonly runner?: string | false | undefined;
  /**
   * `false` keeps the fields, so that the schema stays the same, and does nothing else.
   * @default true
   */
  readonly enabled?: boolean | undefined;
}

export interface ChosenCollection {
  readonly slug: string;
  readonly field: string;
}

export interface Settings {
  readonly endpoint: string;
  readonly apiKey: string | undefined;
  readonly collections: readonly ChosenCollection[];
  readonly locale: string | undefined;
  readonly inlineTimeoutMs: number;
  readonly runner: string | false;
  readonly enabled: boolean;
}

/** Checks the options and fills in their defaults. @throws Error naming the option and what was expected */
export function parseOptions(options: AltTextOptions): Settings {
  const parsed = Options.safeParse(options);
  if (!parsed.success) throw new Error(`altText: ${z.prettifyError(parsed.error)}`);
  const collections = parsed.data.collections.map((entry) =>
    typeof entry === "string" ? { slug: entry, field: "alt" } : entry,
  );
  return { ...parsed.data, apiKey: parsed.data.apiKey, locale: parsed.data.locale, collections };
}
