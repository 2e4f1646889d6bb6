import { readFile } from "node:fs/promises";
import path from "node:path";
import {
  type CollectionAfterChangeHook,
  type CollectionBeforeChangeHook,
  type CollectionBeforeValidateHook,
  type CollectionConfig,
  type CollectionSlug,
  createLocalReq,
  type WidgetServerProps,
} from "payload";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { backfill } from "../src/backfill.ts";
import { RETRY_DELAYS_MS } from "../src/limits.ts";
import { AltTextWidget } from "../src/rsc/widget.tsx";
import { siteOf } from "../src/site.ts";
import { caption, problem, rubbish, type StandIn, startStandIn } from "./captioner-stand-in.ts";
import { picture } from "./picture.ts";
import { startSite, type TestSite } from "./site.ts";

let api: StandIn;
beforeAll(async () => {
  api = await startStandIn();
});
afterAll(() => api.stop());
beforeEach(() => {
  api.answer = caption();
  api.requests.length = 0;
});

describe("an upload", () => {
  let site: TestSite;
  beforeEach(async () => {
    site = await startSite({ endpoint: api.url, inlineTimeoutMs: 3_000 });
  });
  afterEach(() => site.stop());

  test("gets its text at once, by hash first", async () => {
    expect(await site.upload()).toMatchObject({
      alt: "A dog on grass",
      altState: "generated",
      altSource: "generated",
      altScore: 0.8,
      altReason: null,
    });
    expect(api.requests).toEqual([
      expect.stringMatching(/^GET \/v1\/captions\/[0-9a-f]{64}$/),
      "POST /v1/captions",
    ]);
  });

  test("with a low score needs review, until a person saves", async () => {
    api.answer = caption({ needs_review: true, score: 0.1 });
    const { id } = await site.upload();
    expect(await site.read(id)).toMatchObject({ altState: "review", altScore: 0.1 });
    await site.update(id, { credit: "somebody" });
    expect(await site.read(id)).toMatchObject({ altState: "review" });
    await site.update(id, await site.form(id));
    expect(await site.read(id)).toMatchObject({
      altState: "described",
      altSource: "generated",
      altScore: 0.1,
    });
  });

  test("with a person's words asks nobody", async () => {
    expect(await site.upload({ alt: "My own words" })).toMatchObject({
      alt: "My own words",
      altState: "described",
      altSource: "person",
    });
    expect(api.requests).toEqual([]);
  });

  test("marked decorative stays empty, and asks nobody", async () => {
    const { id } = await site.upload({ altDecorative: true });
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ alt: "", altState: "decorative" });
    expect(api.requests).toEqual([]);
  });

  test.each([
    ["SVG", '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>', "image/svg+xml", "a.svg"],
    ["text", "hello", "text/plain", "a.txt"],
  ])("of %s is passed over in silence", async (_, text, mimetype, name) => {
    const { id } = await site.upload({}, { file: { data: Buffer.from(text), mimetype, name } });
    expect(await site.read(id)).toMatchObject({ altState: null });
    expect(api.requests).toEqual([]);
  });

  test.each([
    [
      "refuses the key",
      problem(401, "unauthorized"),
      "pending",
      "The caption API does not accept the site's key.",
    ],
    [
      "is at capacity",
      problem(429, "overloaded", { "retry-after": "1" }),
      "pending",
      "The caption API is at capacity.",
    ],
    ["has an error", problem(500, "internal"), "pending", "The caption API refused (status 500)."],
    ["is behind a broken proxy", problem(502, "x"), "pending", "The caption API refused (status 502)."],
    [
      "answers rubbish",
      rubbish,
      "pending",
      "Something that is not the caption API answered with status 200.",
    ],
    ["is slow", () => {}, "pending", "The caption API did not answer in time."],
    ["cannot read the picture", problem(422, "unreadable-image"), "failed", "The picture is damaged."],
  ] as const)("goes through when the captioner %s", async (_, answer, altState, altReason) => {
    api.answer = answer;
    const startedAt = performance.now();
    const doc = await site.upload();
    expect(performance.now() - startedAt).toBeLessThan(20_000);
    expect(doc).toMatchObject({ altState, altReason });
    expect(doc.alt ?? "").toBe("");
    expect(JSON.stringify(doc)).not.toContain("SECRET");
  });

  test("does not wait again for a captioner that was away a moment ago, and all get their text when it is back", async () => {
    api.answer = () => {};
    const first = await site.upload();
    const asked = api.requests.length;
    const second = await site.upload();
    expect(api.requests).toHaveLength(asked);
    expect(second).toMatchObject({ altState: "pending", altReason: first.altReason });
    api.answer = caption({ alt: "A late dog" });
    await site.runJobs();
    for (const { id } of [first, second]) {
      expect(await site.read(id)).toMatchObject({ alt: "A late dog", altState: "generated" });
    }
  });

  test("keeps its file when others of its name come while it waits for its description", async () => {
    api.answer = async (...call) => {
      await new Promise((wake) => setTimeout(wake, 100));
      await caption()(...call);
    };
    const pictures = await Promise.all([1, 2, 3].map(() => picture()));
    const uploads = await Promise.all(pictures.map((data) => site.upload({}, { file: { data } })));
    expect(uploads.map(({ filename }) => filename).sort()).toEqual(["a-1.png", "a-2.png", "a.png"]);
    for (const [at, { filename }] of uploads.entries()) {
      const stored = await readFile(path.join(site.folder, "media", String(filename)));
      expect(stored.equals(pictures[at] as Buffer)).toBe(true);
    }
  });

  test("that fails does not keep the next one of its name from being saved", async () => {
    await expect(site.upload({ altDecorative: true, alt: "Words" })).rejects.toThrow(/Decorative/);
    expect(await site.upload()).toMatchObject({ alt: "A dog on grass", filename: "a.png" });
  });

  test("whose description the site's own hooks refuse to save is logged", async () => {
    await site.stop();
    const refuse: CollectionBeforeChangeHook = ({ req, data }) => {
      if (!req.user) throw new Error("Nobody is logged in.");
      return data;
    };
    site = await startSite({ endpoint: api.url, inlineTimeoutMs: 0 }, { hooks: { beforeChange: [refuse] } });
    const { id } = await site.upload();
    const error = vi.spyOn(site.payload.logger, "error");
    await site.runJobs();
    expect(error.mock.calls).toContainEqual([
      expect.objectContaining({ msg: `altText: media ${id} could not be described` }),
    ]);
  });

  test("waits for as long as Retry-After says before the job asks again", async () => {
    api.answer = problem(429, "quota-exceeded", { "retry-after": "3600" });
    const { id } = await site.upload();
    await site.runJobs();
    const jobs = await site.payload.find({ collection: "payload-jobs" as never, overrideAccess: true });
    const [job] = jobs.docs as unknown as { waitUntil: string; input: object }[];
    expect(job?.input).toMatchObject({ collection: "media", id: String(id), attempt: 1 });
    const waitMs = Date.parse(job?.waitUntil ?? "") - Date.now();
    expect(waitMs).toBeGreaterThan(3_500_000);
    expect(waitMs).toBeLessThan(3_700_000);
    expect(await site.read(id)).toMatchObject({ altState: "pending" });
  });

  test("gets its text once a key that was refused is accepted again", async () => {
    api.answer = problem(401, "unauthorized");
    const { id } = await site.upload();
    const makeDue = () =>
      site.payload.db.updateJobs({ data: { waitUntil: null } as never, where: {}, returning: false });
    await site.runJobs();
    await makeDue();
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({
      altState: "pending",
      altReason: "The caption API does not accept the site's key.",
    });
    api.answer = caption();
    await makeDue();
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ alt: "A dog on grass", altState: "generated" });
  });

  test("counts as failed when the key is refused for as long as a job asks", async () => {
    api.answer = problem(401, "unauthorized");
    const { id } = await site.upload();
    await site.payload.db.updateJobs({
      data: { input: { collection: "media", id: String(id), attempt: RETRY_DELAYS_MS.length } } as never,
      where: {},
      returning: false,
    });
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({
      altState: "failed",
      altReason: "The caption API does not accept the site's key.",
    });
  });
});

describe("a person's words survive", () => {
  let site: TestSite;
  beforeEach(async () => {
    site = await startSite({ endpoint: api.url, inlineTimeoutMs: 10_000 });
  });
  afterEach(() => site.stop());

  /** An upload whose captioner is away. */
  async function pending(): Promise<number> {
    api.answer = problem(503, "unavailable");
    const { id, altState } = await site.upload();
    expect(altState).toBe("pending");
    api.answer = caption({ alt: "Words of the machine" });
    return id;
  }

  test("a job that comes late", async () => {
    const id = await pending();
    await site.update(id, { alt: "Words of a person" });
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ alt: "Words of a person", altSource: "person" });
  });

  test("a job that is asking while the person saves", async () => {
    const id = await pending();
    let release = () => {};
    const asked = new Promise<void>((isAsked) => {
      api.answer = async (...call) => {
        isAsked();
        await new Promise<void>((resolve) => {
          release = resolve;
        });
        api.answer = caption({ alt: "Words of the machine" });
        await api.answer(...call);
      };
    });
    const job = site.runJobs();
    await asked;
    await site.update(id, { alt: "Words of a person" });
    release();
    await job;
    expect(await site.read(id)).toMatchObject({ alt: "Words of a person", altState: "described" });
  });

  test("a file that is replaced while the job is asking does not get the words about the old one", async () => {
    const id = await pending();
    let isReplaced = false;
    api.answer = async (request, response, body) => {
      if (!isReplaced) {
        isReplaced = true;
        await site.update(id, {}, { file: { data: await picture(80) } });
      }
      await caption({ alt: `A picture of ${body.length} bytes` })(request, response, body);
    };
    await site.runJobs();
    const { alt, filesize } = await site.read(id);
    expect([undefined, null, "", `A picture of ${filesize} bytes`]).toContain(alt);
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({
      alt: `A picture of ${filesize} bytes`,
      altState: "generated",
    });
  });

  test("a form that was opened before the job, with words typed meanwhile", async () => {
    const id = await pending();
    const form = await site.form(id);
    await site.runJobs();
    await site.update(id, { ...form, alt: "Typed meanwhile" });
    expect(await site.read(id)).toMatchObject({ alt: "Typed meanwhile", altState: "described" });
  });

  test("a form that was opened before the job, untouched, does not wipe what came", async () => {
    const id = await pending();
    const form = await site.form(id);
    await site.runJobs();
    await site.update(id, { ...form, credit: "x" });
    expect(await site.read(id)).toMatchObject({ alt: "Words of the machine", credit: "x" });
  });

  test("an untouched form with the machine's text does not replace what a colleague wrote", async () => {
    const { id } = await site.upload();
    const form = await site.form(id);
    await site.update(id, { alt: "Words of a colleague" });
    await site.update(id, { ...form, credit: "x" });
    expect(await site.read(id)).toMatchObject({ alt: "Words of a colleague", credit: "x" });
  });

  test("an untouched form with the machine's text does not replace what a colleague wrote anew", async () => {
    const { id } = await site.upload();
    const form = await site.form(id);
    await site.update(id, { alt: "" });
    await site.update(id, { alt: "Words of a colleague" });
    await site.update(id, { ...form, credit: "x" });
    expect(await site.read(id)).toMatchObject({ alt: "Words of a colleague", altSource: "person" });
  });

  test("an untouched form from before the file was replaced does not bring the words about the old one back", async () => {
    const { id } = await site.upload();
    const form = await site.form(id);
    api.answer = caption({ alt: "Another dog" });
    await site.update(id, await site.form(id), { file: { data: await picture(80) } });
    await site.update(id, { ...form, credit: "x" });
    expect(await site.read(id)).toMatchObject({ alt: "Another dog", altState: "generated", credit: "x" });
  });

  test("an untouched form does not undo a colleague's decorative mark, nor its removal", async () => {
    const { id } = await site.upload();
    const form = await site.form(id);
    await site.update(id, { altDecorative: true });
    await site.update(id, { ...form, credit: "x" });
    expect(await site.read(id)).toMatchObject({ alt: "", altState: "decorative", credit: "x" });
    const marked = await site.form(id);
    await site.update(id, { ...marked, altDecorative: false, alt: "Words of a colleague" });
    await site.update(id, { ...marked, credit: "y" });
    expect(await site.read(id)).toMatchObject({ alt: "Words of a colleague", credit: "y" });
  });

  test("typed into a form that was opened before a colleague marked the picture decorative", async () => {
    const id = await pending();
    const form = await site.form(id);
    await site.update(id, { altDecorative: true });
    await site.update(id, { ...form, alt: "Typed meanwhile" });
    expect(await site.read(id)).toMatchObject({ alt: "Typed meanwhile", altState: "described" });
  });

  test("a replaced file marks them as stale, a save clears that", async () => {
    const { id } = await site.upload({ alt: "Words of a person" });
    await site.update(id, await site.form(id), { file: { data: await picture(80) } });
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({
      alt: "Words of a person",
      altState: "stale",
      altSource: "person",
    });
    expect(api.requests).toEqual([]);
    await site.update(id, await site.form(id));
    expect(await site.read(id)).toMatchObject({ altState: "described" });
  });

  test("a replaced file under a text that a person saved", async () => {
    const { id } = await site.upload();
    await site.update(id, await site.form(id));
    await site.update(id, await site.form(id), { file: { data: await picture(80) } });
    expect(await site.read(id)).toMatchObject({
      alt: "A dog on grass",
      altState: "stale",
      altSource: "generated",
    });
  });

  test("a replaced file under a text that nobody read gets a new one", async () => {
    const { id } = await site.upload();
    api.answer = caption({ alt: "Another dog" });
    await site.update(id, await site.form(id), { file: { data: await picture(80) } });
    expect(await site.read(id)).toMatchObject({ alt: "Another dog", altState: "generated" });
  });

  test("words that a colleague saves while a replaced file waits for its description", async () => {
    const { id } = await site.upload();
    api.answer = async (...call) => {
      api.answer = caption({ alt: "Another dog" });
      await site.update(id, { alt: "Words of a colleague" });
      await api.answer(...call);
    };
    await site.update(id, await site.form(id), { file: { data: await picture(80) } });
    expect(await site.read(id)).toMatchObject({ alt: "Words of a colleague", altState: "stale" });
  });

  test("a document that replaces a picture keeps a person's words, but not the model's", async () => {
    const file = { data: Buffer.from("%PDF-1.4"), mimetype: "application/pdf", name: "a.pdf" };
    const written = await site.upload({ alt: "Words of a person" });
    await site.update(written.id, {}, { file });
    expect(await site.read(written.id)).toMatchObject({ alt: "Words of a person", altState: null });
    const { id } = await site.upload();
    await site.update(id, {}, { file });
    expect(await site.read(id)).toMatchObject({ alt: "", altState: null });
    await site.update(id, {}, { file: { data: await picture() } });
    expect(await site.read(id)).toMatchObject({ alt: "A dog on grass", altState: "generated" });
  });

  test("uploading the same file again changes nothing", async () => {
    const data = await picture();
    const { id } = await site.upload({ alt: "Words of a person" }, { file: { data } });
    await site.update(id, { credit: "x" }, { file: { data } });
    expect(await site.read(id)).toMatchObject({ alt: "Words of a person", altState: "described" });
  });

  test("they refuse the decorative mark, which clears only the model's words", async () => {
    const { id } = await site.upload({ alt: "Words of a person" });
    await expect(site.update(id, { altDecorative: true })).rejects.toThrow(
      "Decorative picture (A person wrote alt text for this picture.",
    );
    expect(await site.read(id)).toMatchObject({ alt: "Words of a person", altDecorative: false });
    const machine = await site.upload();
    await site.update(machine.id, { altDecorative: true });
    expect(await site.read(machine.id)).toMatchObject({ alt: "", altState: "decorative" });
  });

  test("an edit is distinguished from a new text", async () => {
    const { id } = await site.upload();
    await site.update(id, { alt: "A dog on wet grass" });
    expect(await site.read(id)).toMatchObject({ altSource: "edited", altState: "described", altScore: null });
  });

  test("what the button put into the form counts as generated and read", async () => {
    const { id } = await site.upload({
      alt: "A suggested dog",
      altSuggestion: { text: "A suggested dog", score: 0.4 },
    });
    expect(await site.read(id)).toMatchObject({
      altSource: "generated",
      altState: "described",
      altScore: 0.4,
    });
    expect(api.requests).toEqual([]);
  });

  test("deleting a text is a person's right", async () => {
    const { id } = await site.upload();
    await site.update(id, { ...(await site.form(id)), alt: "" });
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ alt: "", altState: "missing" });
  });

  test("what a request says about state and source is ignored", async () => {
    const { id } = await site.upload({
      alt: "Words of a person",
      altSource: "generated",
      altState: "review",
    });
    const { altHash } = await site.read(id);
    await site.update(id, {
      alt: "Other words",
      altState: "pending",
      altSource: "generated",
      altGenerated: "Other words",
      altHash: "0",
    });
    expect(await site.read(id)).toMatchObject({
      altHash,
      altState: "described",
      altSource: "person",
      altGenerated: null,
    });
    await site.update(id, {
      altState: "pending",
      altSource: "generated",
      altGenerated: "Other words",
      altHash: "0",
    });
    expect(await site.read(id)).toMatchObject({
      altState: "described",
      altSource: "person",
      altGenerated: null,
    });
  });

  test("a bulk edit that does not touch them, and a bulk edit that writes them", async () => {
    const { id } = await site.upload({ alt: "Words of a person" });
    const machine = await site.upload();
    const edit = async (data: object) => {
      const where = { id: { in: [id, machine.id] } };
      const req = await createLocalReq({ user: site.editor }, site.payload);
      await site.payload.update({ collection: "media" as never, where, data: data as never, req });
    };
    await edit({ credit: "somebody" });
    expect(await site.read(id)).toMatchObject({ alt: "Words of a person", credit: "somebody" });
    expect(await site.read(machine.id)).toMatchObject({ alt: "A dog on grass", altSource: "generated" });
    await edit({ alt: "One text for both" });
    for (const one of [id, machine.id]) {
      expect(await site.read(one)).toMatchObject({ alt: "One text for both", altState: "described" });
    }
  });

  test("a copy keeps the words and where they came from", async () => {
    const { id } = await site.upload({ alt: "Words of a person" });
    const copy = (await site.payload.duplicate({ collection: "media" as never, id })) as unknown as {
      id: number;
    };
    expect(await site.read(copy.id)).toMatchObject({ alt: "Words of a person", altSource: "person" });
    expect(api.requests).toEqual([]);
  });
});

describe("drafts", () => {
  let site: TestSite;
  beforeEach(async () => {
    site = await startSite(
      { endpoint: api.url, inlineTimeoutMs: 10_000 },
      { versions: { drafts: { autosave: true } } },
    );
  });
  afterEach(() => site.stop());

  test("a job does not publish an unfinished draft, nor lose its words", async () => {
    api.answer = problem(503, "unavailable");
    const { id } = await site.upload({ _status: "published" });
    await site.update(id, { credit: "unfinished" }, { draft: true, autosave: true });
    api.answer = caption({ alt: "Words of the machine" });
    await site.runJobs();
    expect(await site.read(id)).not.toMatchObject({ credit: "unfinished" });
    expect(await site.read(id, { draft: true })).toMatchObject({
      _status: "draft",
      credit: "unfinished",
      alt: "Words of the machine",
    });
  });

  test("a picture that exists only as a draft is found by runs, the backfill and the dashboard, as in the list", async () => {
    const { payload } = site;
    // As autosave makes it: the document first, then its file.
    const { id } = await site.upload({}, { file: null, draft: true });
    api.answer = problem(422, "unreadable-image");
    await site.update(id, {}, { draft: true, file: { data: await picture() } });
    expect(await site.read(id, { draft: true })).toMatchObject({ altState: "failed" });
    expect(await site.read(id)).not.toHaveProperty("mimeType", "image/png");

    const req = await createLocalReq({ user: site.editor }, payload);
    const widget = JSON.stringify(await AltTextWidget({ req } as WidgetServerProps));
    expect(widget).toContain("Media without alt text: 1");
    expect(widget).toContain("Media that could not be described: 1");
    const lines: string[] = [];
    await backfill(payload, { isDryRun: true, print: (line) => lines.push(line) });
    expect(lines[0]).toContain("media: 1 without alt text");

    api.answer = caption();
    for (const body of [{ missing: true }, { where: { altState: { equals: "failed" } } }]) {
      const headers = { "content-type": "application/json" };
      const init = { method: "POST", body: JSON.stringify(body), headers };
      const answer = await site.request("/alt-text/media/runs", init);
      expect(await answer.json()).toMatchObject({ run: { total: 1 } });
    }
    await site.runJobs();
    const described = { alt: "A dog on grass", altState: "generated", _status: "draft" };
    expect(await site.read(id, { draft: true })).toMatchObject(described);
  });

  test("a picture that was described as a draft is not counted again, whether it was never published or no more", async () => {
    const { payload } = site;
    api.answer = problem(503, "unavailable");
    await site.upload({}, { draft: true });
    const { id } = await site.upload({ _status: "published" });
    await site.update(id, { _status: "draft" });
    api.answer = caption();
    const lines: string[] = [];
    for (const _ of ["first", "again"])
      await backfill(payload, { isDryRun: false, print: (line) => lines.push(line) });
    expect(lines).toContain("Generated 2, cached 0, skipped 0, failed 0");
    expect(lines.slice(-3)).toContain("media: 0 without alt text");
    const headers = { "content-type": "application/json" };
    const init = { method: "POST", body: JSON.stringify({ missing: true }), headers };
    expect((await site.request("/alt-text/media/runs", init)).status).toBe(400);
  });

  test("a published picture from before the site had drafts is still found", async () => {
    const { payload } = site;
    api.answer = problem(503, "unavailable");
    const { id } = await site.upload({ _status: "published" });
    await payload.db.deleteVersions({ collection: "media" as CollectionSlug, where: {} });
    const data = { _status: null };
    await payload.db.updateOne({ collection: "media" as CollectionSlug, id, data });
    api.answer = caption();
    const lines: string[] = [];
    await backfill(payload, { isDryRun: true, print: (line) => lines.push(line) });
    expect(lines[0]).toContain("media: 1 without alt text");
  });

  test("a draft that somebody begins while the job is asking is not published by it", async () => {
    api.answer = problem(503, "unavailable");
    const { id } = await site.upload({ _status: "published", credit: "Published" });
    api.answer = async (...call) => {
      api.answer = caption();
      await site.update(id, { credit: "Unfinished" }, { draft: true });
      await api.answer(...call);
    };
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ credit: "Published", _status: "published" });
    expect(await site.read(id, { draft: true })).toMatchObject({
      alt: "A dog on grass",
      credit: "Unfinished",
      _status: "draft",
    });
  });

  test("a draft that somebody publishes while the job is asking is published with its text", async () => {
    api.answer = problem(503, "unavailable");
    const { id } = await site.upload({ _status: "draft" }, { draft: true });
    api.answer = async (...call) => {
      api.answer = caption();
      await site.update(id, { _status: "published" });
      await api.answer(...call);
    };
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ alt: "A dog on grass", _status: "published" });
  });

  test("words that autosave keeps are a person's", async () => {
    api.answer = problem(503, "unavailable");
    const { id } = await site.upload({ _status: "published" });
    await site.update(id, { alt: "Typed into a draft" }, { draft: true, autosave: true });
    api.answer = caption();
    await site.runJobs();
    expect(await site.read(id, { draft: true })).toMatchObject({
      alt: "Typed into a draft",
      altState: "described",
    });
  });

  test("autosave of an untouched form does not count as review", async () => {
    api.answer = caption({ needs_review: true });
    const { id } = await site.upload({ _status: "published" });
    await site.update(id, await site.form(id), { draft: true, autosave: true });
    expect(await site.read(id, { draft: true })).toMatchObject({ altState: "review" });
  });

  test("restoring a version brings its own words back", async () => {
    const { id } = await site.upload({ alt: "First words", _status: "published" });
    await site.update(id, { alt: "Second words" });
    const { docs } = await site.payload.findVersions({ collection: "media" as never, sort: "createdAt" });
    await site.payload.restoreVersion({ collection: "media" as never, id: docs[0]?.id as never });
    expect(await site.read(id)).toMatchObject({ alt: "First words", altState: "described" });
  });

  test("a version that is restored without its file is marked: its words are about another file", async () => {
    const { payload, editor: user } = site;
    // As the admin panel does it, which leaves the file as it is.
    const restoreFirst = async (id: number) => {
      const collection = "media" as CollectionSlug;
      const where = { parent: { equals: id } };
      const { docs } = await payload.findVersions({ collection, where, sort: "createdAt" });
      await payload.restoreVersion({ collection, id: docs[0]?.id as string, overrideAccess: false, user });
      return site.read(id);
    };
    const replace = async (id: number) => site.update(id, {}, { file: { data: await picture(80) } });
    const { id: written } = await site.upload({ alt: "My dog" });
    await replace(written);
    await site.update(written, { alt: "My cat" });
    expect(await restoreFirst(written)).toMatchObject({ alt: "My dog", altState: "stale", width: 80 });

    const { id: generated } = await site.upload();
    api.answer = caption({ alt: "A cat on grass" });
    const { altHash } = await replace(generated);
    const restored = { alt: "A dog on grass", altState: "stale", altHash, width: 80 };
    expect(await restoreFirst(generated)).toMatchObject(restored);

    const { id: same } = await site.upload({ alt: "First words" });
    await site.update(same, { alt: "Second words" });
    expect(await restoreFirst(same)).toMatchObject({ alt: "First words", altState: "described" });
  });

  test("a version from when the picture waited is described anew", async () => {
    api.answer = problem(503, "unavailable");
    const { id } = await site.upload({ _status: "published" });
    api.answer = caption();
    await site.runJobs();
    expect(await site.read(id, { draft: true })).toMatchObject({ altState: "generated" });
    const { docs } = await site.payload.findVersions({ collection: "media" as never, sort: "createdAt" });
    await site.payload.restoreVersion({ collection: "media" as never, id: docs[0]?.id as never });
    expect(await site.read(id)).toMatchObject({ altState: "pending" });
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ alt: "A dog on grass", altState: "generated" });
  });
});

test("a draft that somebody begins at the very moment of the job's write is not published, and described later", async () => {
  let begin = async () => {};
  const inTheMiddle: CollectionBeforeChangeHook = async ({ data }) => {
    await begin();
    return data;
  };
  const site = await startSite(
    { endpoint: api.url, inlineTimeoutMs: 10_000 },
    { versions: { drafts: true }, hooks: { beforeChange: [inTheMiddle] } },
  );
  api.answer = problem(503, "unavailable");
  const { id } = await site.upload({ _status: "published", credit: "Published" });
  api.answer = caption();
  begin = async () => {
    begin = async () => {};
    await site.update(id, { credit: "Unfinished" }, { draft: true });
  };
  await site.runJobs();
  expect(await site.read(id)).toMatchObject({ credit: "Published", _status: "published" });
  const { docs } = await site.payload.find({ collection: "payload-jobs" as CollectionSlug });
  expect(docs).toMatchObject([{ input: { collection: "media", id: String(id), attempt: 1 } }]);
  await site.stop();
});

describe("a storage that saves the whole document again once it has the file", () => {
  const collection = "media" as CollectionSlug;
  /** As `@payloadcms/plugin-cloud-storage` does it with what the adapter for S3 returns. */
  const storeFile: CollectionAfterChangeHook = async ({ doc, req, context }) => {
    if (req.file === undefined || context.skipCloudStorage) return doc;
    context.skipCloudStorage = true;
    req.file = undefined;
    await req.payload.update({ collection, id: doc.id, data: doc as never, depth: 0, req });
    delete context.skipCloudStorage;
    return doc;
  };
  let site: TestSite;
  beforeEach(async () => {
    site = await startSite(
      { endpoint: api.url, inlineTimeoutMs: 10_000 },
      { hooks: { afterChange: [storeFile] } },
    );
  });
  afterEach(() => site.stop());

  test("does not count as a person who has read the text", async () => {
    api.answer = caption({ needs_review: true });
    const { id } = await site.upload();
    expect(await site.read(id)).toMatchObject({ altState: "review", altSource: "generated" });
    await site.update(id, await site.form(id));
    expect(await site.read(id)).toMatchObject({ altState: "described" });
  });

  test("leaves a replaced file to be described anew, and a person's words marked", async () => {
    const { id } = await site.upload();
    const { id: written } = await site.upload({ alt: "My dog" });
    api.answer = problem(503, "unavailable");
    for (const one of [id, written]) await site.update(one, {}, { file: { data: await picture(80) } });
    expect(await site.read(id)).toMatchObject({ altState: "pending" });
    expect(await site.read(written)).toMatchObject({ alt: "My dog", altState: "stale" });
    api.answer = caption({ alt: "A cat on grass" });
    await site.runJobs();
    expect(await site.read(id)).toMatchObject({ alt: "A cat on grass", altState: "generated" });
  });

  test("does not keep the next upload of the file's name waiting", async () => {
    const update = vi.spyOn(site.payload, "update");
    const end = vi.spyOn(siteOf(site.payload).nameTurns, "end");
    await site.upload();
    expect(end).toHaveBeenCalledExactlyOnceWith("media", "a.png");
    expect(end).toHaveBeenCalledAfter(update);
  });
});

describe("saves that share one request", () => {
  const collection = "media" as never;
  async function withHooksOf(
    hooks: CollectionConfig["hooks"],
    body: (site: TestSite) => Promise<void>,
  ): Promise<void> {
    const site = await startSite(
      { endpoint: api.url, inlineTimeoutMs: 0 },
      { trash: true, ...(hooks && { hooks }) },
    );
    try {
      await body(site);
    } finally {
      await site.stop();
    }
  }

  test("at the same time keep each their own words", async () => {
    await withHooksOf(undefined, async (site) => {
      const ids = [(await site.upload({ alt: "a" })).id, (await site.upload({ alt: "b" })).id];
      const req = await createLocalReq({ user: site.editor }, site.payload);
      const save = (id: number) =>
        site.payload.update({ collection, id, data: { alt: `Words for ${id}` } as never, req });
      await Promise.all(ids.map(save));
      for (const id of ids) expect(await site.read(id)).toMatchObject({ alt: `Words for ${id}` });
    });
  });

  test("inside the site's own hooks do not take the words of the outer one", async () => {
    let other = 0;
    const touchOther: CollectionBeforeValidateHook = async ({ req, data, originalDoc }) => {
      if (other === 0 || originalDoc?.id === other) return data;
      await req.payload.update({ collection, id: other, data: { credit: "touched" } as never, req });
      return data;
    };
    await withHooksOf({ beforeValidate: [touchOther] }, async (site) => {
      const { id } = await site.upload({ alt: "First words" });
      other = (await site.upload({ alt: "Words of another picture" })).id;
      await site.update(id, { alt: "Second words" });
      const uploaded = await site.upload({ alt: "Written on upload" });
      expect(await site.read(id)).toMatchObject({ alt: "Second words" });
      expect(await site.read(uploaded.id)).toMatchObject({ alt: "Written on upload", altSource: "person" });
      expect(await site.read(other)).toMatchObject({ alt: "Words of another picture", credit: "touched" });
    });
  });

  test("after a description is written do not undo it", async () => {
    let other = 0;
    const touchBoth: CollectionAfterChangeHook = async ({ req, doc, context }) => {
      if (other === 0 || context.isTouched) return doc;
      const more = { data: { credit: "touched" } as never, req, context: { isTouched: true } };
      await req.payload.update({ collection, id: other, ...more });
      await req.payload.update({ collection, id: doc.id, ...more });
      return doc;
    };
    await withHooksOf({ afterChange: [touchBoth] }, async (site) => {
      other = (await site.upload({ alt: "Words of another picture" })).id;
      const { id } = await site.upload();
      await site.runJobs();
      expect(await site.read(id)).toMatchObject({ alt: "A dog on grass", credit: "touched" });
      expect(await site.read(other)).toMatchObject({ alt: "Words of another picture", credit: "touched" });
    });
  });

  test("a picture that was in the trash when its job ran, and a copy of one that waits, are described later", async () => {
    await withHooksOf(undefined, async (site) => {
      const { id } = await site.upload();
      const copy = (await site.payload.duplicate({ collection, id })) as unknown as { id: number };
      await site.update(id, { deletedAt: new Date().toISOString() });
      await site.runJobs();
      expect(await site.read(copy.id)).toMatchObject({ altState: "generated" });
      const data = { deletedAt: null } as never;
      await site.payload.update({ collection, id, data, trash: true, user: site.editor });
      expect(await site.read(id)).toMatchObject({ altState: "pending" });
      await site.runJobs();
      expect(await site.read(id)).toMatchObject({ alt: "A dog on grass", altState: "generated" });
    });
  });
});
