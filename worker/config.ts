/**
 * Everything that can be configured, parsed once. Nothing else in `worker/` reads a variable.
 * Variables are strings, as Cloudflare delivers them; lists are separated by commas.
 */

import * as z from "zod/mini";
import { described } from "../shared/described.ts";
import { fieldExpectation } from "../shared/expectation.ts";
import { MAX_TIMER_MS } from "../shared/limits.ts";
import { LogLevel } from "../shared/log-level.ts";
import { HeaderSecret, WebAddress } from "../shared/schema.ts";
import { CACHE_TIER_NAMES } from "./cache/tier-names.ts";

const commaList = z.pipe(
  z.string(),
  z.transform((text: string) =>
    text
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== ""),
  ),
);

/** A list of `items` separated by commas; `fallback` if none is given. */
const listOf = <Item extends z.core.$ZodType<unknown, string>>(items: Item, fallback: string) =>
  z.pipe(z._default(z.string(), fallback), z.pipe(commaList, z.array(items)));

const count = (fallback: number) => z._default(z.coerce.number().check(z.int(), z.gte(1)), fallback);

const timeout = (fallback: number) =>
  z._default(z.coerce.number().check(z.int(), z.gte(1), z.lte(MAX_TIMER_MS)), fallback);

const hasCredentials = ({ username, password }: URL) => username !== "" || password !== "";

const captionerUrl = z.pipe(
  WebAddress.check(
    z.refine((url) => !URL.canParse(url) || !hasCredentials(new URL(url)), {
      error:
        "expected an address without a user name and password, which would not be sent; a captioner's token belongs in BACKEND_SECRET or FALLBACK_TOKEN",
    }),
  ),
  z.transform((url: string) => url.replace(/\/+$/, "")),
);

/** A browser sends an origin as the standard writes it; anything else would never match. RFC 6454, section 6.2. */
const origin = z.string().check(
  z.refine((text) => text === "*" || (URL.canParse(text) && new URL(text).origin === text), {
    error: ({ input }) =>
      `expected * or an origin such as https://example.org, without a slash or a path at the end; got ${input}`,
  }),
);

/** Compared with the host of an address, which is in lower case; anything else would never match. */
const hostAndPort = z.pipe(
  z
    .string()
    .check(
      z.regex(
        /^([^\s:/?#@[\]]+|\[[\da-f:.]+\]):\d+$/i,
        "expected host:port such as media.internal:8080, without http:// and without a path",
      ),
    ),
  z.transform((text: string) => text.toLowerCase()),
);

const modelIdentity = z.pipe(
  z.string().check(z.regex(/^[^@\s]+@[^@\s]+$/, 'expected "id@revision"')),
  z.transform((text: string) => {
    const [id = "", revision = ""] = text.split("@");
    return { id, revision };
  }),
);

const secret = () => z.optional(HeaderSecret.check(z.minLength(1)));

/** Each variable with its meaning; the tables of `docs/run.md` are made from this. */
export const WorkerVariables = z.object({
  BACKEND_URLS: described(
    z.pipe(commaList, z.array(captionerUrl).check(z.minLength(1, "expected at least one address"))),
    "Addresses of the captioners, separated by commas; a picture's hash decides which one is asked first",
  ),
  BACKEND_SECRET: described(
    secret(),
    "Bearer token for the captioners: their own BACKEND_SECRET, which has at least 16 characters",
  ),
  CF_ACCESS_CLIENT_ID: described(
    secret(),
    "Id of a service token for Cloudflare Access, if that guards the captioners' tunnels",
  ),
  CF_ACCESS_CLIENT_SECRET: described(secret(), "The secret of that service token"),
  FALLBACK_URLS: described(
    listOf(captionerUrl, ""),
    "Addresses of captioners, separated by commas, that are asked only if none of BACKEND_URLS captions, such as a hosted endpoint",
  ),
  FALLBACK_TOKEN: described(secret(), "Bearer token for those; they get no other secret"),
  HOSTED_MODEL: described(
    z.optional(modelIdentity),
    "`id@revision` of the model behind a captioner that does not name it itself, such as a hosted endpoint. That captioner's captions are then cached, and found beside those of the others",
  ),
  MODEL_ALIASES: described(
    listOf(z.string(), ""),
    "Further names under which `POST /models/{id}` serves the model, separated by commas",
  ),
  ACCESS: described(
    z._default(z.enum(["keys", "open"]), "keys"),
    "Who may call the API: `keys` for callers with a key, `open` for everybody without any limit",
  ),
  CORS_ORIGINS: described(
    listOf(origin, ""),
    "Origins of web pages that may call the API, separated by commas, or `*`; none by default",
  ),
  URL_ALLOWED_HOSTS: described(
    listOf(hostAndPort, ""),
    "`host:port` of media servers, separated by commas, whose pictures are fetched although their address is not public",
  ),
  CACHE_TIERS: described(
    listOf(z.enum(CACHE_TIER_NAMES), "memory,colo,kv"),
    "Cache tiers in use, separated by commas; on workers.dev the Cache API does nothing, so leave `colo` out there",
  ),
  CACHE_SCOPE: described(
    z._default(z.enum(["shared", "key"]), "shared"),
    "Whether all keys share the cached captions (`shared`), or each key has its own (`key`)",
  ),
  UPLOAD_TIMEOUT_MS: described(timeout(60_000), "How long a body may take to arrive, in milliseconds"),
  REQUEST_TIMEOUT_MS: described(
    timeout(30_000),
    "How long a caller waits at most for a new caption, once the picture has arrived, in milliseconds",
  ),
  ATTEMPT_TIMEOUT_MS: described(
    timeout(10_000),
    "How long one captioner may take while there is another to ask, in milliseconds",
  ),
  KV_TIMEOUT_MS: described(
    timeout(500),
    "A KV read that takes longer than this counts as a miss, in milliseconds",
  ),
  COUNTER_TIMEOUT_MS: described(
    timeout(1_000),
    "If counting against a key's quota or rate takes longer than this, the request passes uncounted, in milliseconds",
  ),
  URL_TIMEOUT_MS: described(
    timeout(10_000),
    "How long a picture's address may take to deliver it, in milliseconds",
  ),
  JOB_LEASE_MS: described(
    count(120_000),
    "How long a part of a job may stay silent before it is sent again, in milliseconds",
  ),
  JOB_ITEMS_A_DAY: described(
    count(200_000),
    "Job items that a key may send per day (UTC), captioned before or not, because the service has to keep them",
  ),
  JOB_ITEMS_AT_ONCE: described(
    count(4),
    "Job items that one consumer works on at once. The platform gives it six connections, of which two are left for the cache, and runs more consumers when there is more to do; `wrangler dev` runs one consumer, without that limit",
  ),
  LOG_LEVEL: described(z._default(LogLevel, "info"), "Least severe level that is logged"),
});

const Variables = WorkerVariables.check(
  z.refine(
    (given) => (given.CF_ACCESS_CLIENT_ID === undefined) === (given.CF_ACCESS_CLIENT_SECRET === undefined),
    { path: ["CF_ACCESS_CLIENT_ID"], error: "expected together with CF_ACCESS_CLIENT_SECRET, or neither" },
  ),
  z.refine((given) => !given.FALLBACK_URLS.some((url) => given.BACKEND_URLS.includes(url)), {
    path: ["FALLBACK_URLS"],
    error: "expected none of the addresses of BACKEND_URLS",
  }),
  z.refine((given) => given.CACHE_SCOPE === "shared" || given.ACCESS === "keys", {
    path: ["CACHE_SCOPE"],
    error: 'expected "shared", because without keys all callers share the cache',
  }),
);

export type Config = Readonly<z.infer<typeof Variables>>;

/** Whether a value is a variable: TOML also has numbers and booleans. Bindings are objects. */
function isVariable(value: unknown): boolean {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean";
}

/** Names that begin with two underscores belong to the platform's tools. */
function isKnown(name: string): boolean {
  return name.startsWith("__") || Object.hasOwn(WorkerVariables.shape, name);
}

/**
 * Reads the configuration out of a worker's environment.
 * @throws {Error} that names the variable and what was expected, because a worker must not run half configured.
 */
export function parseConfig(env: object): Config {
  const parsed = Variables.safeParse(env);
  const unknown = Object.entries(env)
    .filter(([name, value]) => isVariable(value) && !isKnown(name))
    .map(([name]) => `${name}: there is no such variable; docs/run.md lists them`);
  if (parsed.success && unknown.length === 0) return parsed.data;
  const wrong = parsed.error?.issues.map(fieldExpectation) ?? [];
  throw new Error(
    `The worker's configuration is wrong:\n${[...wrong, ...unknown].map((line) => `  ${line}`).join("\n")}`,
  );
}
