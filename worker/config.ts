/**
 * Everything that can be configured, parsed once. Nothing else in `worker/` reads a variable.
 * Variables are strings, as Cloudflare delivers them; lists are separated by commas.
 */

import * as z from "zod";
import { CACHE_TIER_NAMES } from "./cache/tier-names.ts";

const commaList = z.string().transform((text) =>
  text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== ""),
);

const optionalList = z.string().default("").pipe(commaList);

const milliseconds = (fallback: number) => z.coerce.number().int().positive().default(fallback);

const backendUrls = commaList.pipe(
  z
    .array(z.url({ protocol: /^https?$/ }).transform((url) => url.replace(/\/+$/, "")))
    .min(1, "expected at least one address"),
);

const modelIdentity = z
  .string()
  .regex(/^[^@\s]+@[^@\s]+$/, 'expected "id@revision"')
  .transform((text) => {
    const [id = "", revision = ""] = text.split("@");
    return { id, revision };
  });

const Variables = z
  .object({
    /** Captioners; each picture has one that it is sent to first. */
    BACKEND_URLS: backendUrls,
    /** Bearer token of the captioners. */
    BACKEND_SECRET: z.string().min(1).optional(),
    /** Service token for Cloudflare Access, where it guards the captioners' tunnels. */
    CF_ACCESS_CLIENT_ID: z.string().min(1).optional(),
    CF_ACCESS_CLIENT_SECRET: z.string().min(1).optional(),
    /** What a captioner serves that does not name its own model, such as a hosted endpoint: `id@revision`. */
    HOSTED_MODEL: modelIdentity.optional(),
    /** Further names under which `POST /models/{id}` serves the model. */
    MODEL_ALIASES: optionalList,
    /** Who may come in: callers with a key, or everybody. */
    ACCESS: z.enum(["keys", "open"]).default("keys"),
    /** Origins of web pages that may call the API, or `*`. */
    CORS_ORIGINS: optionalList,
    /** `host:port` of media servers whose pictures may be fetched although their address is not public. */
    URL_ALLOWED_HOSTS: optionalList,
    /** Cache tiers in use; on workers.dev the Cache API does nothing, so leave `colo` out there. */
    CACHE_TIERS: z
      .string()
      .default("memory,colo,kv")
      .pipe(commaList.pipe(z.array(z.enum(CACHE_TIER_NAMES)))),
    /** Whether all keys share the cached captions, or each key has its own. */
    CACHE_SCOPE: z.enum(["shared", "key"]).default("shared"),
    /** The longest a body may take to arrive. */
    UPLOAD_TIMEOUT_MS: milliseconds(60_000),
    /** The longest a caller waits for a new caption, from when the picture is here. */
    REQUEST_TIMEOUT_MS: milliseconds(30_000),
    /** The longest one captioner is waited for while another is left to ask. */
    ATTEMPT_TIMEOUT_MS: milliseconds(10_000),
    /** A slower KV read counts as a miss. */
    KV_TIMEOUT_MS: milliseconds(500),
    /** The longest a picture's address may take to deliver it. */
    URL_TIMEOUT_MS: milliseconds(10_000),
    /** How long a part of a job may go unheard of before it is sent again. */
    JOB_LEASE_MS: milliseconds(120_000),
    /** The least severe log line that is written. */
    LOG_LEVEL: z.enum(["info", "warn", "error"]).default("info"),
  })
  .refine(
    (given) => (given.CF_ACCESS_CLIENT_ID === undefined) === (given.CF_ACCESS_CLIENT_SECRET === undefined),
    { path: ["CF_ACCESS_CLIENT_ID"], message: "expected together with CF_ACCESS_CLIENT_SECRET, or neither" },
  )
  .refine((given) => given.CACHE_SCOPE === "shared" || given.ACCESS === "keys", {
    path: ["CACHE_SCOPE"],
    message: 'expected "shared" where nobody has a key',
  });

export type Config = Readonly<z.infer<typeof Variables>>;

/**
 * Reads the configuration out of a worker's environment.
 * @throws {Error} that names the variable and what was expected; a worker does not run half configured.
 */
export function parseConfig(env: object): Config {
  const parsed = Variables.safeParse(env);
  if (parsed.success) return parsed.data;
  throw new Error(`Configuration: ${z.prettifyError(parsed.error)}`);
}
