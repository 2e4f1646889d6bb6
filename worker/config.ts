/**
 * Everything that can be configured, parsed once. Nothing else in `worker/` reads a variable.
 * Variables are strings, as Cloudflare delivers them; lists are separated by commas.
 */

import * as z from "zod";
import { fieldExpectation } from "../shared/expectation.ts";
import { LogLevel } from "../shared/log-level.ts";
import { HeaderSecret, WebAddress } from "../shared/schema.ts";
import { CACHE_TIER_NAMES } from "./cache/tier-names.ts";

const commaList = z.string().transform((text) =>
  text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== ""),
);

const optionalList = z.string().default("").pipe(commaList);

const milliseconds = (fallback: number) => z.coerce.number().int().min(1).default(fallback);

const backendUrls = commaList.pipe(
  z.array(WebAddress.transform((url) => url.replace(/\/+$/, ""))).min(1, "expected at least one address"),
);

/** A browser sends an origin as the standard writes it; anything else would never match. RFC 6454, section 6.2. */
const origins = optionalList.pipe(
  z.array(
    z.string().refine((text) => text === "*" || (URL.canParse(text) && new URL(text).origin === text), {
      error: ({ input }) =>
        `expected * or an origin such as https://example.org, without a slash or a path at its end; got ${input}`,
    }),
  ),
);

const modelIdentity = z
  .string()
  .regex(/^[^@\s]+@[^@\s]+$/, 'expected "id@revision"')
  .transform((text) => {
    const [id = "", revision = ""] = text.split("@");
    return { id, revision };
  });

/** Each variable with its meaning; `docs/run.md` is made from them. */
export const WorkerVariables = z.object({
  BACKEND_URLS: backendUrls.describe(
    "Addresses of the captioners, by commas; each picture has one that it is sent to first",
  ),
  BACKEND_SECRET: HeaderSecret.min(1)
    .optional()
    .describe(
      "Bearer token of the captioners, the same as their own BACKEND_SECRET, which has 16 characters at least",
    ),
  CF_ACCESS_CLIENT_ID: HeaderSecret.min(1)
    .optional()
    .describe("Service token for Cloudflare Access, where it guards the captioners' tunnels: its id"),
  CF_ACCESS_CLIENT_SECRET: HeaderSecret.min(1).optional().describe("The secret of that service token"),
  HOSTED_MODEL: modelIdentity
    .optional()
    .describe(
      "`id@revision` that a captioner serves which does not name its own model, such as a hosted endpoint",
    ),
  MODEL_ALIASES: optionalList.describe(
    "Further names under which `POST /models/{id}` serves the model, by commas",
  ),
  ACCESS: z
    .enum(["keys", "open"])
    .default("keys")
    .describe("Who may come in: `keys` for callers with a key, `open` for everybody without any limit"),
  CORS_ORIGINS: origins.describe(
    "Origins of web pages that may call the API, by commas, or `*`; none where absent",
  ),
  URL_ALLOWED_HOSTS: optionalList.describe(
    "`host:port` of media servers, by commas, whose pictures are fetched although their address is not public",
  ),
  CACHE_TIERS: z
    .string()
    .default("memory,colo,kv")
    .pipe(commaList.pipe(z.array(z.enum(CACHE_TIER_NAMES))))
    .describe(
      "Cache tiers in use, by commas; on workers.dev the Cache API does nothing, so leave `colo` out there",
    ),
  CACHE_SCOPE: z
    .enum(["shared", "key"])
    .default("shared")
    .describe("Whether all keys share the cached captions (`shared`), or each key has its own (`key`)"),
  UPLOAD_TIMEOUT_MS: milliseconds(60_000).describe("Longest that a body may take to arrive, in milliseconds"),
  REQUEST_TIMEOUT_MS: milliseconds(30_000).describe(
    "Longest that a caller waits for a new caption, from when the picture is here, in milliseconds",
  ),
  ATTEMPT_TIMEOUT_MS: milliseconds(10_000).describe(
    "Longest that one captioner is waited for while another is left to ask, in milliseconds",
  ),
  KV_TIMEOUT_MS: milliseconds(500).describe(
    "A read of KV that is slower than this counts as a miss, in milliseconds",
  ),
  URL_TIMEOUT_MS: milliseconds(10_000).describe(
    "Longest that a picture's address may take to deliver it, in milliseconds",
  ),
  JOB_LEASE_MS: milliseconds(120_000).describe(
    "How long a part of a job may go unheard of before it is sent again, in milliseconds",
  ),
  JOB_ITEMS_AT_ONCE: z.coerce
    .number()
    .int()
    .min(1)
    .default(4)
    .describe(
      "Items of jobs that one consumer works on at once. The platform gives it six connections, of which two are left to the cache, and runs more consumers when there is more to do; `wrangler dev` runs one, without such a limit",
    ),
  LOG_LEVEL: LogLevel.default("info").describe("Least severe line that is logged"),
});

const Variables = WorkerVariables.refine(
  (given) => (given.CF_ACCESS_CLIENT_ID === undefined) === (given.CF_ACCESS_CLIENT_SECRET === undefined),
  { path: ["CF_ACCESS_CLIENT_ID"], message: "expected together with CF_ACCESS_CLIENT_SECRET, or neither" },
).refine((given) => given.CACHE_SCOPE === "shared" || given.ACCESS === "keys", {
  path: ["CACHE_SCOPE"],
  message: 'expected "shared" where nobody has a key',
});

export type Config = Readonly<z.infer<typeof Variables>>;

/** Names that begin with two underscores are those of the platform's tools. */
function isKnown(name: string): boolean {
  return name.startsWith("__") || Object.hasOwn(WorkerVariables.shape, name);
}

/**
 * Reads the configuration out of a worker's environment.
 * @throws {Error} that names the variable and what was expected; a worker does not run half configured.
 */
export function parseConfig(env: object): Config {
  const parsed = Variables.safeParse(env);
  const unknown = Object.entries(env)
    .filter(([name, value]) => typeof value === "string" && !isKnown(name))
    .map(([name]) => `${name}: there is no such variable; docs/run.md lists them`);
  if (parsed.success && unknown.length === 0) return parsed.data;
  const wrong = parsed.error?.issues.map(fieldExpectation) ?? [];
  throw new Error(
    `The worker's configuration is wrong:\n${[...wrong, ...unknown].map((line) => `  ${line}`).join("\n")}`,
  );
}
