/**
 * `npm run -s keys -- create|list|revoke`: API keys, through wrangler's own KV commands.
 * A key is printed once, when it is created; only its hash is stored. `--remote` uses the deployed namespace, otherwise the
 * local one of `npm start` is used.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import path from "node:path";
import { text } from "node:stream/consumers";
import { stripVTControlCharacters } from "node:util";
import { pMapIterable } from "p-map";
import * as z from "zod";
import { QUIET_WRANGLER, WRANGLER_SCRIPT } from "../local/wrangler.ts";
import {
  API_KEY_SCOPES,
  API_KEY_STORAGE_PREFIX,
  ApiKeyId,
  ApiKeyRecord,
  apiKeyStorageKey,
  createApiKey,
  DEFAULT_API_KEY_SCOPES,
  parseApiKey,
  parseApiKeyRecord,
} from "../shared/api-key.ts";
import { CommandError, runCommand, UsageError, userPath } from "./command-line.ts";
import { printable, printableField } from "./terminal-text.ts";

const DEFAULT_DAILY_QUOTA = 1_000;

const Options = z.object({
  name: z
    .optional(ApiKeyRecord.shape.name)
    .meta({ description: "For create: whose key it is; 'list' shows this name.", value: "NAME" }),
  scopes: z
    .string()
    .default(DEFAULT_API_KEY_SCOPES.join(","))
    .transform((list) => list.split(","))
    .pipe(ApiKeyRecord.shape.scopes)
    .meta({
      description: `For create: what it may do, separated by commas: ${API_KEY_SCOPES.join(", ")}.`,
      value: "LIST",
    }),
  "daily-quota": z.coerce
    .number()
    .pipe(ApiKeyRecord.shape.daily_quota)
    .default(DEFAULT_DAILY_QUOTA)
    .describe("For create: new captions per day (UTC); answers from the cache are free."),
  "persist-to": z.string().optional().meta({
    description: "Local keys of a `wrangler dev` that was started with the same option.",
    value: "DIR",
  }),
  remote: z
    .boolean()
    .default(false)
    .describe("The keys of the deployed worker, instead of those of npm start on this machine."),
  json: z.boolean().default(false).describe("For create and list: print JSON, one line per key."),
});
type Options = z.output<typeof Options>;

const Arguments = z.union(
  [z.tuple([z.literal("create")]), z.tuple([z.literal("list")]), z.tuple([z.literal("revoke"), z.string()])],
  "expected create, list, or revoke with a key or its id",
);

const COMMAND = {
  invocation: "npm run -s keys -- create|list|revoke KEY_OR_ID",
  summary: "API keys. A key is shown once, when it is created; only its hash is stored.",
  arguments: Arguments,
  options: Options,
  examples: [
    "npm run -s keys -- create --name my-cms --daily-quota 5000 --remote",
    "npm run -s keys -- list --remote",
    "npm run -s keys -- revoke ate_0123456789abcdef --remote",
  ],
} as const;

/** Each read starts a wrangler of its own, which takes two seconds. */
const READS_AT_ONCE = 4;

const ListedKeys = z.array(z.object({ name: z.string() }));

interface Store {
  put(key: string, value: string): Promise<void>;
  get(key: string): Promise<string>;
  list(): Promise<string[]>;
  delete(key: string): Promise<void>;
}

async function main(given: {
  options: Options;
  arguments: z.output<typeof Arguments>;
}): Promise<number | undefined> {
  const { options } = given;
  const persistTo = options["persist-to"];
  const store = wranglerStore({
    remote: options.remote,
    persistTo: persistTo === undefined ? undefined : userPath(persistTo),
  });
  const [command, keyOrId] = given.arguments;
  switch (command) {
    case "create":
      await create(store, options);
      return;
    case "list":
      return list(store, options.json);
    case "revoke":
      await revoke(store, keyOrId);
      return;
  }
}

async function create(store: Store, options: Options): Promise<void> {
  const { name, scopes, "daily-quota": daily_quota, json } = options;
  if (name === undefined) throw new UsageError("--name is missing");
  const { key, record } = await createApiKey({ name, scopes, daily_quota, now: new Date() });
  await store.put(apiKeyStorageKey(record.id), JSON.stringify(record));
  console.log(json ? JSON.stringify({ key, id: record.id, name, scopes, daily_quota }) : key);
  // Not on standard output, from which a script takes the key.
  if (!json) console.error(`This is the only time the key is shown. Its id is ${record.id}.`);
}

async function list(store: Store, json: boolean): Promise<number> {
  const storageKeys = await store.list();
  // Not on standard output, where each line is a key.
  if (storageKeys.length === 0) console.error("There are no keys.");
  let exitCode = 0;
  const read = async (storageKey: string) => [storageKey, await store.get(storageKey)] as const;
  for await (const [storageKey, kept] of pMapIterable(storageKeys, read, { concurrency: READS_AT_ONCE })) {
    const record = parseApiKeyRecord(kept);
    if (record === undefined) {
      const id = printable(storageKey.slice(API_KEY_STORAGE_PREFIX.length));
      // For a minute, a location may still list a key that was deleted elsewhere.
      console.error(
        `${id}: its record cannot be read. Unless you have just revoked it, revoke it and create another.`,
      );
      exitCode = 1;
      continue;
    }
    const { secret_sha256: _kept, ...shown } = record;
    const { id, name, scopes, daily_quota, created_at } = shown;
    console.log(
      json
        ? printable(JSON.stringify(shown))
        : [id, created_at, scopes.join(","), `${daily_quota}/day`, printableField(name)].join("\t"),
    );
  }
  return exitCode;
}

async function revoke(store: Store, keyOrId: string): Promise<void> {
  const id = parseApiKey(keyOrId)?.id ?? keyOrId.replace(/^ate_/, "");
  if (!ApiKeyId.safeParse(id).success) {
    throw new UsageError("expected a whole key, or its id of 16 hexadecimal digits as 'list' prints it");
  }
  if (!(await store.list()).includes(apiKeyStorageKey(id))) throw new CommandError(`There is no key ${id}.`);
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

/** Runs wrangler, and returns what it prints. @throws CommandError with wrangler's complaint */
async function runWrangler(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [WRANGLER_SCRIPT, ...args], {
    cwd: path.join(import.meta.dirname, ".."),
    env: { ...process.env, ...QUIET_WRANGLER },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [output, complaint, [code]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  if (code === 0) return output;
  throw new CommandError(
    `wrangler ${args.slice(0, 3).join(" ")} failed: ${stripVTControlCharacters(complaint.trim() || output.trim())}`,
  );
}

await runCommand(COMMAND, main);
