/** A small site with the plugin, for trying it and for its browser tests. Everything it writes lies in SITE_DATA. */

import path from "node:path";
import { fileURLToPath } from "node:url";
import { sqliteAdapter } from "@payloadcms/db-sqlite";
import { altText } from "alt-text-edge-payload";
import { buildConfig, type PayloadRequest } from "payload";
import sharp from "sharp";

const here = path.dirname(fileURLToPath(import.meta.url));
const data = path.resolve(/* turbopackIgnore: true */ process.env.SITE_DATA ?? path.join(here, "data"));

/** Codes with commas between them, the first one the default; none on a site without locales. */
const locales = process.env.SITE_LOCALES?.split(",") ?? [];

const isEditor = ({ req }: { req: PayloadRequest }) =>
  (req.user as { role?: string } | null)?.role === "editor";
const isLoggedIn = ({ req }: { req: PayloadRequest }) => Boolean(req.user);

export default buildConfig({
  admin: {
    user: "users",
    avatar: "default",
    importMap: { baseDir: here, importMapFile: path.join(here, "app/(payload)/admin/importMap.js") },
    dashboard: {
      widgets: [],
      defaultLayout: [
        { widgetSlug: "alt-text", width: "medium" },
        { widgetSlug: "collections", width: "full" },
      ] as never,
    },
  },
  collections: [
    {
      slug: "users",
      auth: true,
      fields: [{ name: "role", type: "select", options: ["editor", "reader"], saveToJWT: true }],
    },
    {
      slug: "media",
      labels: { singular: "Picture", plural: "Pictures" },
      upload: {
        staticDir: path.join(data, "media"),
        imageSizes: [{ name: "thumbnail", width: 400 }],
        adminThumbnail: "thumbnail",
      },
      access: { read: isLoggedIn, create: isEditor, update: isEditor, delete: isEditor },
      admin: { defaultColumns: ["filename", "alt", "altState"] },
      fields: [
        { name: "credit", type: "text" },
        ...(locales.length === 0
          ? []
          : [{ name: "alt", type: "textarea", label: "Alt text", localized: true } as const]),
      ],
    },
  ],
  db: sqliteAdapter({
    client: { url: `file:${path.join(data, "site.db")}` },
    wal: true,
    busyTimeout: 5000,
  }),
  ...(locales[0] === undefined ? {} : { localization: { locales, defaultLocale: locales[0] } }),
  plugins: [
    altText({
      endpoint: process.env.CAPTION_API ?? "http://127.0.0.1:8787",
      apiKey: process.env.CAPTION_API_KEY,
      collections: ["media"],
      runner: "*/1 * * * * *",
      inlineTimeoutMs: 3000,
    }),
  ],
  secret: process.env.PAYLOAD_SECRET ?? "only for trying it on this machine",
  serverURL: process.env.SITE_URL ?? "",
  sharp: sharp as never,
  telemetry: false,
  typescript: { autoGenerate: false },
});
