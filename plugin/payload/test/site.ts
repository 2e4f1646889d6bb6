/** Real Payload sites on SQLite, each in a folder of its own. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { sqliteAdapter } from "@payloadcms/db-sqlite";
import {
  buildConfig,
  type CollectionConfig,
  type CollectionSlug,
  type Config,
  createLocalReq,
  getPayload,
  type Payload,
  type PayloadRequest,
  type TypedUser,
} from "payload";
import sharp from "sharp";
import { type AltTextOptions, altText } from "../src/index.ts";
import { DESCRIBE_QUEUE, RUN_QUEUE } from "../src/names.ts";
import type { Document } from "../src/paths.ts";
import { picture } from "./picture.ts";

export interface TestSite {
  readonly payload: Payload;
  readonly folder: string;
  /** Uploads a new picture, as `user` through Payload's operations. */
  upload(data?: Document, more?: UploadOptions): Promise<Document & { id: number }>;
  update(id: number, data: Document, more?: UploadOptions): Promise<Document>;
  read(id: number, more?: Document): Promise<Document>;
  /** What an editor's form sends who opened it now and changed nothing. */
  form(id: number): Promise<Document>;
  /** Runs the plugin's jobs that are due. */
  runJobs(): Promise<void>;
  readonly editor: TypedUser;
  readonly reader: TypedUser;
  request(route: string, init: RequestInit & { user?: TypedUser | null }): Promise<Response>;
  stop(): Promise<void>;
}

export interface UploadOptions {
  readonly file?: { data: Buffer; name?: string; mimetype?: string } | null;
  readonly user?: TypedUser | null;
  readonly draft?: boolean;
  readonly autosave?: boolean;
  readonly locale?: string;
}

export async function startSite(
  options: Partial<AltTextOptions> & { endpoint: string },
  media: Partial<CollectionConfig> = {},
  config: Partial<Config> = {},
  /** Of a site that is there already, whose people and database are opened again. */
  existing?: string,
): Promise<TestSite> {
  const folder = existing ?? (await mkdtemp(path.join(tmpdir(), "payload-")));
  const isEditor = ({ req }: { req: PayloadRequest }) =>
    (req.user as { role?: string } | null)?.role === "editor";
  const built = await buildConfig({
    secret: "of a test",
    telemetry: false,
    db: sqliteAdapter({
      client: { url: `file:${path.join(folder, "site.db")}` },
      // Two processes on one file wait for one another.
      wal: true,
      busyTimeout: 5000,
    }),
    collections: [
      { slug: "users", auth: true, fields: [{ name: "role", type: "text", saveToJWT: true }] },
      {
        slug: "media",
        upload: { staticDir: path.join(folder, "media") },
        access: {
          read: ({ req }) => Boolean(req.user),
          create: isEditor,
          update: isEditor,
          delete: isEditor,
        },
        fields: [{ name: "credit", type: "text" }],
        ...media,
      },
    ],
    sharp: sharp as never,
    plugins: [altText({ collections: ["media"], runner: false, ...options })],
    ...config,
  });
  const key = `${folder} ${crypto.randomUUID()}`;
  const cron = typeof options.runner === "string";
  const payload = await getPayload({ config: built, key, cron });
  payload.logger.level = "silent";
  const person = async (role: string) => {
    const email = `${role}@example.org`;
    const found = await payload.find({
      collection: "users" as CollectionSlug,
      where: { email: { equals: email } },
    });
    if (found.docs[0] !== undefined) return { ...found.docs[0], collection: "users" } as unknown as TypedUser;
    const user = await payload.create({
      collection: "users" as CollectionSlug,
      data: { email, password: "secret", role } as never,
    });
    return { ...user, collection: "users" } as unknown as TypedUser;
  };
  const [editor, reader] = [await person("editor"), await person("reader")];
  const collection = "media" as CollectionSlug;

  const common = async ({ file, user = editor, draft, autosave, locale }: UploadOptions) => ({
    collection,
    overrideAccess: user === null,
    ...(file ? { file: { mimetype: "image/png", name: "a.png", size: file.data.length, ...file } } : {}),
    ...(draft === undefined ? {} : { draft }),
    ...(autosave === undefined ? {} : { autosave }),
    req: await createLocalReq(
      {
        ...(user === null ? {} : { user }),
        ...(locale === undefined ? {} : { locale }),
        fallbackLocale: false,
      },
      payload,
    ),
  });

  return {
    payload,
    folder,
    editor,
    reader,
    async upload(data = {}, more = {}) {
      const file = more.file === undefined ? { data: await picture() } : more.file;
      const args = { ...(await common({ ...more, file })), data };
      return (await payload.create(args as never)) as never;
    },
    async update(id, data, more = {}) {
      return (await payload.update({ ...(await common(more)), id, data } as never)) as never;
    },
    async read(id, more = {}) {
      return (await payload.findByID({
        collection,
        id,
        depth: 0,
        fallbackLocale: false,
        ...more,
      } as never)) as never;
    },
    async form(id) {
      const {
        id: _,
        createdAt: _c,
        updatedAt: _u,
        ...data
      } = (await payload.findByID({
        collection,
        id,
        depth: 0,
        draft: true,
      })) as unknown as Document;
      return data;
    },
    async runJobs() {
      for (const queue of [DESCRIBE_QUEUE, RUN_QUEUE]) await payload.jobs.run({ queue, silent: true });
    },
    async request(route, { user = editor, ...init }) {
      const headers = new Headers(init.headers);
      if (user !== null) {
        const { token } = await payload.login({
          collection: "users" as CollectionSlug,
          data: { email: user.email as string, password: "secret" } as never,
        });
        headers.set("authorization", `JWT ${token}`);
      }
      const request = new Request(`http://site.test/api${route}`, { ...init, headers });
      const { handleEndpoints } = await import("payload");
      return handleEndpoints({
        config: Promise.resolve(payload.config) as never,
        request,
        payloadInstanceCacheKey: key,
      });
    },
    async stop() {
      await payload.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
