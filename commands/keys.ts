/**
 * `npm run -s keys -- create|list|revoke`: API keys, through wrangler's own KV commands.
 * A key is printed once, when it is created; what is stored is its hash. `--remote` for the deployed namespace, else the
 * local one of `npm start`.
 */

import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import path from "node:path";
import { parseArgs } from "node:util";
import * as z from "zod";
import {
  API_KEY_SCOPES,
  API_KEY_STORAGE_PREFIX,
  ApiKeyId,
  ApiKeyRecord,
  apiKeyStorageKey,
  createApiKey,
} from "../shared/api-key.ts";

const USAGE = `usage: npm run -s keys -- create --name NAME [--scopes read,caption,batch] [--daily-quota N] [--remote] [--json]
       npm run -s keys -- list [--remote] [--json]
       npm run -s keys -- revoke ID [--remote]
Local keys are those of \`wrangler dev\`; where that was started with --persist-to DIR, say so here too.`;

const DEFAULT_DAILY_QUOTA = 1_000;

const CreateOptions = z.object({
  name: ApiKeyRecord.shape.name,
  scopes: z
    .string()
    .default(API_KEY_SCOPES.join(","))
    .transform((text) => text.split(","))
    .pipe(ApiKeyRecord.shape.scopes),
  "daily-quota": z.coerce.number().pipe(ApiKeyRecord.shape.daily_quota).default(DEFAULT_DAILY_QUOTA),
});

const ListedKeys = z.array(z.object({ name: z.string() }));

/** A mistake of the caller's, told without a stack. */
class UsageError extends Error {
  override readonly name = "UsageError";
}

interface Store {
  put(key: string, value: string): Promise<void>;
  get(key: string): Promise<string>;
  list(): Promise<string[]>;
  delete(key: string): Promise<void>;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      name: { type: "string" },
      scopes: { type: "string" },
      "daily-quota": { type: "string" },
      "persist-to": { type: "string" },
      remote: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const [command, id] = positionals;
  const store = wranglerStore({ remote: values.remote, persistTo: values["persist-to"] });
  switch (command) {
    case "create":
      return create(store, values, values.json);
    case "list":
      return list(store, values.json);
    case "revoke":
      return revoke(store, ApiKeyId.parse(id));
    default:
      throw new UsageError(USAGE);
  }
}

async function create(store: Store, values: unknown, json: boolean): Promise<void> {
  const { name, scopes, "daily-quota": daily_quota } = CreateOptions.parse(values);
  const { key, record } = await createApiKey({ name, scopes, daily_quota, now: new Date() });
  await store.put(apiKeyStorageKey(record.id), JSON.stringify(record));
  if (json) console.log(JSON.stringify({ key, id: record.id, name, scopes, daily_quota }));
  else console.log(`${key}\nThis is the only time the key is shown. Its id is ${record.id}.`);
}

async function list(store: Store, json: boolean): Promise<void> {
  for (const storageKey of await store.list()) {
    const { secret_sha256: _kept, ...shown } = ApiKeyRecord.parse(JSON.parse(await store.get(storageKey)));
    const { id, name, scopes, daily_quota, created_at } = shown;
    console.log(
      json
        ? JSON.stringify(shown)
        : [id, created_at, scopes.join(","), `${daily_quota}/day`, name].join("\t"),
    );
  }
}

async function revoke(store: Store, id: string): Promise<void> {
  if (!(await store.list()).includes(apiKeyStorageKey(id))) throw new UsageError(`There is no key ${id}.`);
  await store.delete(apiKeyStorageKey(id));
  console.log(`${id} is revoked; it stops working within about two minutes.`);
}

function wranglerStore(options: { readonly remote: boolean; readonly persistTo: string | undefined }): Store {
  const where = options.remote
    ? ["--remote"]
    : ["--local", ...(options.persistTo === undefined ? [] : ["--persist-to", options.persistTo])];
  const kv = (...args: string[]) => runWrangler(["kv", "key", ...args, "--binding", "KEYS", ...where]);
  return {
    async put(key, value) {
      await kv("put", key, value);
    },
    get: (key) => kv("get", key, "--text"),
    async list() {
      const listed = ListedKeys.parse(JSON.parse(await kv("list", "--prefix", API_KEY_STORAGE_PREFIX)));
      return listed.map(({ name }) => name);
    },
    async delete(key) {
      await kv("delete", key);
    },
  };
}

/** What wrangler prints. @throws {Error} with what it complained of. */
function runWrangler(args: readonly string[]): Promise<string> {
  const manifest = createRequire(import.meta.url).resolve("wrangler/package.json");
  const script = path.join(path.dirname(manifest), "bin", "wrangler.js");
  const child = spawn(process.execPath, [script, ...args], {
    cwd: path.join(import.meta.dirname, ".."),
    env: { ...process.env, WRANGLER_SEND_METRICS: "false" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let complaint = "";
  child.stdout.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr.on("data", (chunk) => {
    complaint += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      if (code === 0) resolve(output);
      else
        reject(
          new Error(`wrangler ${args.slice(0, 3).join(" ")} failed: ${complaint.trim() || output.trim()}`),
        );
    });
  });
}

try {
  await main();
} catch (error) {
  console.error(
    error instanceof z.ZodError ? z.prettifyError(error) : error instanceof Error ? error.message : error,
  );
  process.exitCode = 1;
}
