/**
 * `npm run -s keys -- create|list|revoke`: API keys, through wrangler's own KV commands.
 * A key is printed once, when it is created; what is stored is its hash. `--remote` for the deployed namespace, else the
 * local one of `npm start`.
 */

import { spawn } from "node:child_process";
import path from "node:path";
import * as z from "zod";
import { QUIET_WRANGLER, WRANGLER_SCRIPT } from "../local/wrangler.ts";
import {
  API_KEY_STORAGE_PREFIX,
  ApiKeyId,
  ApiKeyRecord,
  apiKeyStorageKey,
  createApiKey,
  DEFAULT_API_KEY_SCOPES,
} from "../shared/api-key.ts";
import { CommandError, parseCommandLine, runCommand, UsageError } from "./command-line.ts";
import { printable, printableField } from "./terminal-text.ts";

const USAGE = `usage: npm run -s keys -- create --name NAME [--scopes read,caption,batch,delete] [--daily-quota N] [--remote] [--json]
       npm run -s keys -- list [--remote] [--json]
       npm run -s keys -- revoke ID [--remote]
Local keys are those of \`wrangler dev\`; where that was started with --persist-to DIR, say so here too.`;

const DEFAULT_DAILY_QUOTA = 1_000;

const Options = z.object({
  files: z.tuple([z.enum(["create", "list", "revoke"])], z.string()),
  name: ApiKeyRecord.shape.name.optional(),
  scopes: z
    .string()
    .default(DEFAULT_API_KEY_SCOPES.join(","))
    .transform((text) => text.split(","))
    .pipe(ApiKeyRecord.shape.scopes),
  "daily-quota": z.coerce.number().pipe(ApiKeyRecord.shape.daily_quota).default(DEFAULT_DAILY_QUOTA),
  "persist-to": z.string().optional(),
  remote: z.boolean().default(false),
  json: z.boolean().default(false),
});
type Options = z.infer<typeof Options>;

const ListedKeys = z.array(z.object({ name: z.string() }));

interface Store {
  put(key: string, value: string): Promise<void>;
  get(key: string): Promise<string>;
  list(): Promise<string[]>;
  delete(key: string): Promise<void>;
}

async function main(): Promise<undefined> {
  const [text, flag] = [{ type: "string" }, { type: "boolean" }] as const;
  const options = parseCommandLine(
    USAGE,
    { name: text, scopes: text, "daily-quota": text, "persist-to": text, remote: flag, json: flag },
    Options,
  );
  const [command, id] = options.files;
  const store = wranglerStore({ remote: options.remote, persistTo: options["persist-to"] });
  switch (command) {
    case "create":
      await create(store, options);
      return;
    case "list":
      await list(store, options.json);
      return;
    case "revoke":
      await revoke(store, id);
      return;
  }
}

async function create(store: Store, options: Options): Promise<void> {
  const { name, scopes, "daily-quota": daily_quota, json } = options;
  if (name === undefined) throw new UsageError(`expected --name\n${USAGE}`);
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
        ? printable(JSON.stringify(shown))
        : [id, created_at, scopes.join(","), `${daily_quota}/day`, printableField(name)].join("\t"),
    );
  }
}

async function revoke(store: Store, given: string | undefined): Promise<void> {
  const parsed = ApiKeyId.safeParse(given);
  if (!parsed.success) throw new UsageError(`expected the id of a key, as 'list' prints it\n${USAGE}`);
  const id = parsed.data;
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

/** What wrangler prints. @throws CommandError with what it complained of. */
function runWrangler(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [WRANGLER_SCRIPT, ...args], {
    cwd: path.join(import.meta.dirname, ".."),
    env: { ...process.env, ...QUIET_WRANGLER },
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
          new CommandError(
            `wrangler ${args.slice(0, 3).join(" ")} failed: ${complaint.trim() || output.trim()}`,
          ),
        );
    });
  });
}

await runCommand(main);
