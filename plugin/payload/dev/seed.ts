/** `payload run dev/seed.ts`: an empty database with its tables, an editor and a reader. */

import { mkdir } from "node:fs/promises";
import path from "node:path";
import { type CollectionSlug, getPayload } from "payload";
import config from "./payload.config.ts";

await mkdir(path.resolve(process.env.SITE_DATA ?? "dev/data"), { recursive: true });
const payload = await getPayload({ config });
const collection = "users" as CollectionSlug;
for (const role of ["editor", "reader"]) {
  const email = `${role}@example.org`;
  const { totalDocs } = await payload.count({ collection, where: { email: { equals: email } } });
  const data = { email, password: process.env.SITE_PASSWORD ?? "alt-text", role };
  if (totalDocs === 0) await payload.create({ collection, data: data as never });
}
await payload.destroy();
