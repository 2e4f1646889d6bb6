/** Where the text field stands: tabs, rows, groups, locales, required; and what a wrong config is told. */

import { mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  type CollectionAfterReadHook,
  type CollectionBeforeValidateHook,
  type CollectionConfig,
  type CollectionSlug,
  type Config,
  createLocalReq,
  type Field,
  type PayloadRequest,
  type TypedUser,
  type WidgetServerProps,
} from "payload";
import sharp from "sharp";
import { afterAll, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { altText } from "../src/index.ts";
import { MAX_PICTURE_BYTES, RETRY_DELAYS_MS } from "../src/limits.ts";
import { valueAt } from "../src/paths.ts";
import { AltTextWidget } from "../src/rsc/widget.tsx";
import { caption, problem, type StandIn, startStandIn } from "./captioner-stand-in.ts";
import { picture } from "./picture.ts";
import { startSite, type TestSite } from "./site.ts";

let api: StandIn;
let storage: StandIn;
beforeAll(async () => {
  api = await startStandIn();
  storage = await startStandIn();
});
afterAll(async () => {
  await api.stop();
  await storage.stop();
});
beforeEach(() => {
  api.answer = caption();
  api.requests.length = 0;
});

async function withSite(
  media: Partial<CollectionConfig>,
  config: Partial<Config>,
  body: (site: TestSite) => Promise<void>,
): Promise<void> {
  const site = await startSite({ endpoint: api.url, inlineTimeoutMs: 10_000 }, media, config);
  try {
    await body(site);
  } finally {
    await site.stop();
  }
}

const alt: Field = { name: "alt", type: "text", required: true };
const PLACES: readonly (readonly [string, string, Field[]])[] = [
  [
    "a row in a collapsible",
    "alt",
    [{ type: "collapsible", label: "c", fields: [{ type: "row", fields: [alt] }] }],
  ],
  ["a group", "seo.alt", [{ name: "seo", type: "group", fields: [{ name: "title", type: "text" }, alt] }]],
  [
    "a named tab in a tab without name",
    "texts.alt",
    [
      {
        type: "tabs",
        tabs: [
          { label: "File", fields: [{ name: "credit", type: "text" }] },
          { label: "More", fields: [{ type: "tabs", tabs: [{ name: "texts", fields: [alt] }] }] },
        ],
      },
    ],
  ],
];

test.each(PLACES)(
  "a required text in %s is found, filled, and may wait for its description",
  async (_, at, fields) => {
    await withSite({ fields }, {}, async (site) => {
      const { id } = await site.upload();
      expect(valueAt(await site.read(id), at)).toBe("A dog on grass");

      api.answer = problem(503, "unavailable");
      const late = await site.upload();
      expect(valueAt(late, at)).toBe("");
      expect(late.altState).toBe("pending");
      api.answer = caption({ alt: "A late dog" });
      await site.runJobs();
      expect(valueAt(await site.read(late.id), at)).toBe("A late dog");
    });
  },
);

test("a required text is still required if a person deletes it, and for a document that is not a picture", async () => {
  await withSite({ fields: [alt] }, {}, async (site) => {
    const { id } = await site.upload();
    await expect(site.update(id, { alt: "" })).rejects.toThrow(/alt/i);
    const file = { data: Buffer.from("hello"), mimetype: "text/plain", name: "a.txt" };
    await expect(site.upload({}, { file })).rejects.toThrow(/alt/i);
    await site.upload({ altDecorative: true });
  });
});

test("a text that only some may write is written by nobody else, in any way", async () => {
  const isEditor = ({ req }: { req: PayloadRequest }) => req.user?.role === "editor";
  const access = { create: isEditor, update: isEditor };
  const anybody = { read: () => true, create: () => true, update: () => true };
  await withSite({ access: anybody, fields: [{ ...alt, access }] }, {}, async (site) => {
    const { reader: user } = site;
    const { id } = await site.upload({ alt: "Words of an editor" });
    await site.update(id, { alt: "Words of a reader" }, { user });
    expect(await site.read(id)).toMatchObject({ alt: "Words of an editor", altSource: "person" });
    const generated = await site.upload({ alt: "Words of a reader" }, { user });
    expect(generated).toMatchObject({ alt: "A dog on grass", altSource: "generated" });
    await site.update(generated.id, { altDecorative: true }, { user });
    expect(await site.read(generated.id)).toMatchObject({ alt: "A dog on grass", altDecorative: false });
    await site.update(id, { alt: "Other words" });
    expect(await site.read(id)).toMatchObject({ alt: "Other words" });
  });
});

test("nobody who may not read the text can read what the model said", async () => {
  const isEditor = ({ req }: { req: PayloadRequest }) => req.user?.role === "editor";
  await withSite({ fields: [{ ...alt, access: { read: isEditor } }] }, {}, async (site) => {
    const { id } = await site.upload();
    const readAs = async (user: TypedUser) => (await site.request(`/media/${id}`, { user })).text();
    expect(await readAs(site.editor)).toContain("A dog on grass");
    expect(await readAs(site.reader)).not.toContain("A dog on grass");
  });
});

test("a text is stored as the site's own hooks have changed it", async () => {
  const fields: Field[] = [
    { name: "alt", type: "text", hooks: { beforeValidate: [({ value }) => value?.trim()] } },
    { name: "title", type: "text" },
  ];
  const ofTitle: CollectionBeforeValidateHook = ({ data }) =>
    data?.title ? { ...data, alt: `Picture of ${data.title}` } : data;
  await withSite({ fields, hooks: { beforeValidate: [ofTitle] } }, {}, async (site) => {
    const { id } = await site.upload({ alt: "  Words with blanks " });
    expect(await site.read(id)).toMatchObject({ alt: "Words with blanks", altSource: "person" });
    await site.update(id, { title: "a dog" });
    expect(await site.read(id)).toMatchObject({ alt: "Picture of a dog", altState: "described" });
    expect(await site.upload({ title: "a cat" })).toMatchObject({ alt: "Picture of a cat" });
    expect(await site.upload({ alt: "  " })).toMatchObject({ alt: "A dog on grass" });
  });
});

test("a text that the site's own validation refuses fails neither the upload nor the job", async () => {
  const validate = (value: unknown) => !value || String(value).endsWith(".") || "Ends without a full stop.";
  const refused = {
    altState: "failed",
    altReason: "The site's own validation rejects the generated text.",
  };
  const seo: Field = { name: "seo", type: "group", fields: [{ name: "alt", type: "text", validate }] };
  await withSite({ fields: [seo] }, {}, async (site) => {
    expect(await site.upload()).toMatchObject(refused);
    api.answer = problem(503, "unavailable");
    const { id } = await site.upload();
    api.answer = caption();
    await site.runJobs();
    expect(await site.read(id)).toMatchObject(refused);
    api.answer = caption({ alt: "A dog on grass." });
    expect(await site.upload()).toMatchObject({ seo: { alt: "A dog on grass." }, altState: "generated" });
  });
  const short: Field = { name: "alt", type: "text", required: true, minLength: 40 };
  await withSite({ fields: [short] }, {}, async (site) => {
    expect(await site.upload()).toMatchObject({ alt: "", ...refused });
  });
});

test("only the English one of several locales is written", async () => {
  const fields: Field[] = [{ name: "alt", type: "textarea", localized: true }];
  const localization = { locales: ["de", "en"], defaultLocale: "de" };
  await withSite({ fields }, { localization }, async (site) => {
    const german = await site.upload({ alt: "Ein Hund" }, { locale: "de" });
    expect(german.altState).toBe("pending");
    await site.runJobs();
    expect(await site.read(german.id, { locale: "all" })).toMatchObject({
      alt: { de: "Ein Hund", en: "A dog on grass" },
      altState: "generated",
    });
    await site.update(german.id, { alt: "Ein Hund im Gras" }, { locale: "de" });
    await site.update(german.id, { alt: "My dog" }, { locale: "en" });
    await site.update(german.id, {}, { locale: "de", file: { data: await picture(80) } });
    await site.runJobs();
    expect(await site.read(german.id, { locale: "all" })).toMatchObject({
      alt: { de: "Ein Hund im Gras", en: "My dog" },
      altState: "stale",
    });
    const english = await site.upload({}, { locale: "en" });
    expect(await site.read(english.id, { locale: "all" })).toMatchObject({ alt: { en: "A dog on grass" } });
  });
});

test("a copy of some locales, without the written one, gets a text of its own and keeps the decorative mark", async () => {
  const localization = { locales: ["de", "en"], defaultLocale: "de" };
  const seo: Field = { name: "seo", type: "group", localized: true, fields: [{ name: "alt", type: "text" }] };
  await withSite({ fields: [seo] }, { localization }, async (site) => {
    const { id } = await site.upload({ seo: { alt: "My dog" } }, { locale: "en" });
    await site.update(id, { seo: { alt: "Mein Hund" } }, { locale: "de" });
    const media = "media" as CollectionSlug;
    const whole = await site.payload.duplicate({ collection: media, id });
    expect(await site.read(whole.id as number)).toMatchObject({ altState: "described" });
    const german = await site.payload.duplicate({ collection: media, id, selectedLocales: ["de"] });
    expect(await site.read(german.id as number)).toMatchObject({ altState: "pending" });
  });
  const fields: Field[] = [{ name: "alt", type: "textarea", localized: true }];
  await withSite({ fields }, { localization }, async (site) => {
    const copy = async (id: number, selectedLocales: string[], locale: string) => {
      const args = { collection: "media" as CollectionSlug, id, selectedLocales, locale: locale as never };
      return (await site.payload.duplicate(args)).id as number;
    };
    const { id } = await site.upload({ alt: "My dog" }, { locale: "en" });
    await site.update(id, { alt: "Mein Hund" }, { locale: "de" });
    for (const locale of ["de", "en"]) {
      const german = await copy(id, ["de"], locale);
      expect(await site.read(german)).toMatchObject({ altState: "pending", altSource: null });
      await site.runJobs();
      expect(await site.read(german, { locale: "all" })).toMatchObject({
        alt: { de: "Mein Hund", en: "A dog on grass" },
        altState: "generated",
      });
      const whole = await site.read(await copy(id, ["en"], locale), { locale: "en" });
      expect(whole).toMatchObject({ alt: "My dog", altState: "described", altSource: "person" });
    }
    const { id: decorative } = await site.upload({ altDecorative: true }, { locale: "en" });
    expect(await site.read(await copy(decorative, ["de"], "de"))).toMatchObject({
      altState: "decorative",
      altDecorative: true,
    });
  });
});

test("a first upload in another locale than the written one is saved, also beside sizes and groups", async () => {
  const fields: Field[] = [
    { ...alt, localized: true } as Field,
    { name: "seo", type: "group", fields: [{ name: "title", type: "text" }] },
  ];
  const localization = { locales: ["de", "en"], defaultLocale: "de" };
  await withSite({ fields }, { localization }, async (site) => {
    const { id } = await site.upload({ alt: "Ein Hund" }, { locale: "de" });
    await site.runJobs();
    const both = { alt: { de: "Ein Hund", en: "A dog on grass" }, altState: "generated" };
    expect(await site.read(id, { locale: "all" })).toMatchObject(both);
  });
});

test("the decorative mark in another locale is about the words of the written one", async () => {
  const fields: Field[] = [{ ...alt, localized: true, required: false } as Field];
  const localization = { locales: ["de", "en"], defaultLocale: "de" };
  await withSite({ fields }, { localization }, async (site) => {
    const mark = (id: number) => site.update(id, { altDecorative: true }, { locale: "de" });
    const { id: written } = await site.upload({ alt: "My dog" }, { locale: "en" });
    await expect(mark(written)).rejects.toThrow(/decorative/i);
    const { id: generated } = await site.upload({}, { locale: "en" });
    await expect(mark(generated)).rejects.toThrow(/decorative/i);
    await site.update(generated, { altDecorative: true }, { locale: "en" });
    expect(await site.read(generated, { locale: "en" })).toMatchObject({ alt: "", altState: "decorative" });
    await site.update(generated, { altDecorative: false, alt: "Ein Hund" }, { locale: "de" });
    expect(await site.read(generated, { locale: "de" })).toMatchObject({
      alt: "Ein Hund",
      altState: "missing",
    });
    await mark(generated);
    expect(await site.read(generated)).toMatchObject({ altState: "decorative", altDecorative: true });
  });
});

/** One text for all locales, beside another that each of them requires. */
const ONE_TEXT: Field[] = [
  { name: "alt", type: "text" },
  { name: "title", type: "text", localized: true, required: true },
];
const GERMAN_FIRST = { localization: { locales: ["de", "en"], defaultLocale: "de" } };

test("a text that is not localized is written with the document's other texts", async () => {
  await withSite({ fields: ONE_TEXT }, GERMAN_FIRST, async (site) => {
    api.answer = problem(503, "unavailable");
    const { id } = await site.upload({ title: "Mein Hund" }, { locale: "de" });
    api.answer = caption();
    await site.runJobs();
    const described = { alt: "A dog on grass", altState: "generated", title: { de: "Mein Hund" } };
    expect(await site.read(id, { locale: "all" })).toMatchObject(described);
    await site.update(id, { title: "My dog" }, { locale: "en" });
    await site.update(id, {}, { locale: "en", file: { data: await picture(80) } });
    await site.runJobs();
    expect(await site.read(id, { locale: "all" })).toMatchObject({
      title: { de: "Mein Hund", en: "My dog" },
    });
  });
});

test("a text that is not localized is written in a locale in which the document is valid", async () => {
  await withSite({ fields: ONE_TEXT }, GERMAN_FIRST, async (site) => {
    api.answer = problem(503, "unavailable");
    const { id } = await site.upload({ title: "My dog" }, { locale: "en" });
    api.answer = caption();
    await site.runJobs();
    const read = await site.read(id, { locale: "all" });
    expect(read).toMatchObject({ alt: "A dog on grass", altState: "generated", altReason: null });
    expect(read.title).toEqual({ en: "My dog" });
  });
});

test("a text whose locale lacks required fields says so until the document is complete", async () => {
  const fields: Field[] = [
    { name: "alt", type: "text", localized: true },
    { name: "title", type: "text", localized: true, required: true },
  ];
  const localization = { locales: ["de", "en"], defaultLocale: "de" };
  await withSite({ fields }, { localization }, async (site) => {
    const { id } = await site.upload({ title: "Mein Hund", alt: "Ein Hund" }, { locale: "de" });
    await site.runJobs();
    const failed = await site.read(id, { locale: "all" });
    expect([failed.title, failed.alt]).toEqual([{ de: "Mein Hund" }, { de: "Ein Hund" }]);
    expect(failed).toMatchObject({
      altState: "failed",
      altReason:
        'The document does not pass the site\'s own validation in the locale "en": complete it, then generate its text again.',
    });
    await site.update(id, { title: "My dog" }, { locale: "en" });
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ missing: true });
    await site.request("/alt-text/media/runs", { method: "POST", body, headers });
    await site.runJobs();
    expect(await site.read(id, { locale: "all" })).toMatchObject({
      alt: { en: "A dog on grass" },
      altState: "generated",
    });
  });
});

test("a text that is marked as localized is not, on a site without locales", async () => {
  await withSite({ fields: [{ ...alt, localized: true } as Field] }, {}, async (site) => {
    const send = async (fields: object) => {
      const body = new FormData();
      body.append("file", new File([new Uint8Array(await picture())], "a.png", { type: "image/png" }));
      body.append("_payload", JSON.stringify(fields));
      return (await site.request("/media", { method: "POST", body })).json();
    };
    expect(await send({})).toMatchObject({ doc: { alt: "A dog on grass", altSource: "generated" } });
    expect(await send({ alt: "Words" })).toMatchObject({ doc: { alt: "Words", altSource: "person" } });
    const { fields } = site.payload.collections["media" as CollectionSlug]?.config ?? { fields: [] };
    expect(JSON.stringify(fields)).not.toContain("for the locale");
  });
});

test("a required text stays required in locales other than the written one", async () => {
  const localization = { locales: ["de", "en"], defaultLocale: "de" };
  await withSite({ fields: [{ ...alt, localized: true } as Field] }, { localization }, async (site) => {
    await expect(site.upload({}, { locale: "de" })).rejects.toThrow(/alt/i);
    const { id } = await site.upload({ alt: "Ein Hund" }, { locale: "de" });
    await expect(site.update(id, { alt: "" }, { locale: "de" })).rejects.toThrow(/alt/i);
    await site.runJobs();
    const both = { alt: { de: "Ein Hund", en: "A dog on grass" } };
    expect(await site.read(id, { locale: "all" })).toMatchObject(both);
    await site.upload({ altDecorative: true }, { locale: "de" });
    api.answer = problem(503, "unavailable");
    await site.upload({}, { locale: "en" });
  });
});

test("a run applies its filter in the locale of the person who started it", async () => {
  const fields: Field[] = [{ name: "alt", type: "textarea", localized: true }];
  const localization = { locales: ["de", "en"], defaultLocale: "de" };
  await withSite({ fields }, { localization }, async (site) => {
    api.answer = problem(422, "unreadable-image");
    for (const alt of ["Ein Hund", "Eine Katze"]) await site.upload({ alt }, { locale: "de" });
    const run = async (body: object) => {
      const headers = { "content-type": "application/json" };
      const init = { method: "POST", body: JSON.stringify(body), headers };
      return (await site.request("/alt-text/media/runs?locale=de", init)).json();
    };
    expect(await run({ where: { alt: { contains: "Hund" } } })).toMatchObject({ run: { total: 1 } });
    expect(await run({ missing: true })).toMatchObject({ run: { total: 2 } });
  });
});

test("the site's own character limit is passed on", async () => {
  await withSite({ fields: [{ name: "alt", type: "text", maxLength: 60 }] }, {}, async (site) => {
    await site.upload();
    expect(api.requests).toContain("POST /v1/captions?max_length=60");
  });
});

test("a text field that must be unique is refused", async () => {
  const fields: Field[] = [{ name: "alt", type: "text", unique: true }];
  await expect(withSite({ fields }, {}, async () => {})).rejects.toThrow(/"alt" of "media" not to be unique/);
});

test("a picture that the API does not read is described by the site's own variant, from storage too", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "storage-"));
  const wide = await picture(80);
  // A picture that claims a format of which the API has none.
  const handlers = [async () => new Response(new Uint8Array(wide))];
  const upload = {
    staticDir: folder,
    handlers,
    formatOptions: { format: "heif" as never },
    imageSizes: [{ name: "small", width: 40, formatOptions: { format: "webp" as const } }],
  };
  await withSite({ upload, fields: [] }, {}, async (site) => {
    await site.payload.db.create({
      collection: "media",
      data: {
        filename: "a.heic",
        mimeType: "image/heic",
        filesize: 100,
        sizes: {
          small: { filename: "a-40.webp", mimeType: "image/webp", width: 40, height: 30, filesize: 50 },
        },
      },
    });
    const bodies: string[] = [];
    api.answer = async (request, response, body) => {
      if (request.method === "POST") bodies.push(body.toString("base64"));
      await caption()(request, response, body);
    };
    await site.payload.jobs.queue({
      task: "alt-text" as never,
      queue: "alt-text",
      input: { collection: "media", id: "1", attempt: 0 } as never,
    });
    await site.runJobs();
    expect(bodies).toEqual([wide.toString("base64")]);
    expect(await site.read(1)).toMatchObject({ alt: "A dog on grass" });
  });
  await rm(folder, { recursive: true });
});

test.each([
  ["sends to a signed address", [() => Response.redirect(`${storage.url}/a.png?signature=x`, 302)]],
  ["is public and has no handler", []],
])("a picture is read from a storage that %s", async (_, handlers) => {
  const stored = await picture();
  storage.answer = (_request, response) => void response.end(stored);
  const upload = { staticDir: "unused", disableLocalStorage: true, handlers };
  const publicAddress: CollectionAfterReadHook = ({ doc }) => ({ ...doc, url: `${storage.url}/a.png` });
  const media = { upload, fields: [], hooks: { afterRead: [publicAddress] } };
  await withSite(media, {}, async (site) => {
    api.answer = problem(503, "unavailable");
    const { id } = await site.upload();
    const sent: string[] = [];
    api.answer = async (request, response, body) => {
      if (request.method === "POST") sent.push(body.toString("base64"));
      await caption()(request, response, body);
    };
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ alt: "A dog on grass", altState: "generated" });
    expect(sent).toEqual([stored.toString("base64")]);
  });
});

test("an upload with too many bytes for the API is described by the site's own variant at once", async () => {
  const upload = { imageSizes: [{ name: "small", width: 40, formatOptions: { format: "webp" as const } }] };
  const folder = await mkdtemp(path.join(tmpdir(), "large-"));
  await withSite({ upload: { staticDir: folder, ...upload }, fields: [] }, {}, async (site) => {
    const noise = { type: "gaussian", mean: 128, sigma: 60 } as const;
    const create = { width: 3200, height: 2400, channels: 3, background: "#888", noise } as const;
    const data = await sharp({ create }).png({ compressionLevel: 0 }).toBuffer();
    expect(data.length).toBeGreaterThan(MAX_PICTURE_BYTES);
    const sent: (string | undefined)[] = [];
    api.answer = async (request, response, body) => {
      if (request.method === "POST") sent.push((await sharp(body).metadata()).format);
      await caption()(request, response, body);
    };
    expect(await site.upload({}, { file: { data } })).toMatchObject({ alt: "A dog on grass" });
    expect(sent).toEqual(["webp"]);
  });
  await rm(folder, { recursive: true });
});

test("a moved focal point does not count as a new picture, though Payload converts the file anew; a crop does", async () => {
  const staticDir = await mkdtemp(path.join(tmpdir(), "focal-"));
  const formatOptions = { format: "webp", options: { quality: 60 } } as const;
  const upload = { staticDir, formatOptions, imageSizes: [{ name: "small", width: 20 }] };
  await withSite({ upload, fields: [{ name: "alt", type: "text" }] }, {}, async (site) => {
    const { id, altHash } = await site.upload({ alt: "Words of a person" });
    const edit = (edits: Record<string, number>) => {
      const query = new URLSearchParams(
        Object.entries(edits).map(([name, value]) => [`uploadEdits${name}`, String(value)]),
      );
      return site.request(`/media/${id}?${query}`, { method: "PATCH", body: '{"credit":"x"}' });
    };
    await edit({ "[focalPoint][x]": 10, "[focalPoint][y]": 20 });
    const moved = await site.read(id);
    expect(moved).toMatchObject({ focalX: 10, alt: "Words of a person", altState: "described" });
    expect(moved.altHash).not.toBe(altHash);
    const half = { "[crop][x]": 0, "[crop][y]": 0, "[crop][width]": 50, "[crop][height]": 100 };
    await edit({ ...half, "[widthInPixels]": 32, "[heightInPixels]": 48 });
    expect(await site.read(id)).toMatchObject({ width: 32, alt: "Words of a person", altState: "stale" });
  });
  await rm(staticDir, { recursive: true });
});

test("a file that Payload keeps in a temporary file is read from there", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "temporary-"));
  const upload = { useTempFiles: true, tempFileDir: folder };
  await withSite({}, { upload }, async (site) => {
    const body = new FormData();
    body.append("file", new File([new Uint8Array(await picture())], "a.png", { type: "image/png" }));
    const response = await site.request("/media", { method: "POST", body });
    const { doc } = (await response.json()) as { doc: object };
    expect(doc).toMatchObject({ alt: "A dog on grass", altState: "generated" });
    expect(api.requests.at(-1)).toBe("POST /v1/captions");
  });
  await rm(folder, { recursive: true });
});

test("a file that its storage does not have yet is asked for again, and one that is gone is a failure with its reason", async () => {
  await withSite({}, {}, async (site) => {
    api.answer = problem(503, "unavailable");
    const { id, filename } = await site.upload();
    const gone = await site.upload();
    api.answer = caption();
    const file = path.join(site.folder, "media", String(filename));
    await rename(file, `${file}.late`);
    await rm(path.join(site.folder, "media", String(gone.filename)));
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ altState: "pending" });
    await rename(`${file}.late`, file);
    await makeJobsDue(site);
    expect(await site.read(id)).toMatchObject({ alt: "A dog on grass", altState: "generated" });
    for (let attempt = 2; attempt <= RETRY_DELAYS_MS.length; attempt++) await makeJobsDue(site);
    const failed = { altState: "failed", altReason: "The file cannot be read." };
    expect(await site.read(gone.id)).toMatchObject(failed);
    expect(await site.payload.count({ collection: "payload-jobs" })).toMatchObject({ totalDocs: 0 });
  });
});

/** Runs the plugin's jobs that wait. */
async function makeJobsDue(site: TestSite): Promise<void> {
  await site.payload.db.updateJobs({ data: { waitUntil: null } as never, where: {}, returning: false });
  await site.runJobs();
}

const base = { collections: [{ slug: "media", upload: true, fields: [] }], secret: "x", db: {} as never };
test.each([
  ["an address", { endpoint: "captions", collections: ["media"] }, {}, /endpoint/],
  ["a key that a header takes", { collections: ["media"], apiKey: "ключ" }, {}, /expected a key such as/],
  ["a key that is there", { collections: ["media"], apiKey: "" }, {}, /leave the option out/],
  [
    "each collection once",
    { collections: ["media", { slug: "media", field: "title" }] },
    {},
    /expected each collection once/,
  ],
  ["a cron line", { collections: ["media"], runner: "often" }, {}, /expected a cron line/],
  ["a collection", { collections: ["photos"] }, {}, /no collection "photos"/],
  [
    "uploads",
    { collections: ["pages"] },
    { collections: [{ slug: "pages", fields: [] }] },
    /upload collection/,
  ],
  [
    "text",
    { collections: ["media"] },
    { collections: [{ slug: "media", upload: true, fields: [{ name: "alt", type: "number" }] }] },
    /text or textarea/,
  ],
  [
    "an English locale",
    { collections: ["media"] },
    {
      localization: { locales: ["de", "fr"], defaultLocale: "de" },
      collections: [
        { slug: "media", upload: true, fields: [{ name: "alt", type: "text", localized: true }] },
      ],
    },
    /choose one of them as/,
  ],
])("without %s the config is refused by name", (_, options, config, message) => {
  const build = () =>
    altText({ endpoint: "https://captions.test", ...options } as never)({ ...base, ...config } as never);
  expect(build).toThrow(message);
});

test("the dashboard's numbers lead to their lists on a site below a path, with routes of its own", async () => {
  vi.stubEnv("NEXT_BASE_PATH", "/site"); // As Payload's withPayload sets it.
  await withSite({}, { routes: { admin: "/manage" } }, async ({ payload, editor }) => {
    const req = await createLocalReq({ user: editor }, payload);
    const widget = JSON.stringify(await AltTextWidget({ req } as WidgetServerProps));
    expect(widget).toContain('"href":"/site/manage/collections/media?');
  });
  vi.unstubAllEnvs();
});

test("switched off it keeps the schema and asks nobody", async () => {
  const site = await startSite({ endpoint: api.url, enabled: false }, { fields: [alt] });
  await expect(site.upload({ altState: "pending" })).rejects.toThrow(/alt/i);
  const doc = await site.upload({ alt: "Words" });
  expect(doc).toHaveProperty("altState");
  // Its button would ask a route that is not there.
  const fields = site.payload.collections["media" as CollectionSlug]?.config.fields;
  expect(JSON.stringify(fields)).not.toContain("AltTools");
  expect(api.requests).toEqual([]);
  await site.stop();
});
