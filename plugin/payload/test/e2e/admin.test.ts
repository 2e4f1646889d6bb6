/** The admin panel as editors meet it: the built site in a real browser. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { caption, problem, type StandIn, startStandIn } from "../captioner-stand-in.ts";
import { picture } from "../picture.ts";
import { type RunningSite, save, startRunningSite } from "./running-site.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let api: StandIn;
let site: RunningSite;
beforeAll(async () => {
  api = await startStandIn();
  site = await startRunningSite(api.url);
});
afterAll(async () => {
  await site?.stop();
  await api?.stop();
});
beforeEach(() => {
  api.answer = caption();
});

const file = async (name = "photo.png") => ({ name, mimeType: "image/png", buffer: await picture() });

/** Uploads without the admin panel. */
async function upload(fields: object = {}, bytes?: Buffer): Promise<number> {
  const content = new Uint8Array(bytes ?? (await picture()));
  const form = new FormData();
  form.append("file", new File([content], `${crypto.randomUUID()}.png`, { type: "image/png" }));
  form.append("_payload", JSON.stringify(fields));
  const { doc } = (await site.api("/media", { method: "POST", body: form })) as { doc: { id: number } };
  return doc.id;
}

const stored = (id: number) => site.api(`/media/${id}`);

/** Opens a page of the admin panel, and waits until its buttons do something. */
async function open(page: Page, at: string): Promise<void> {
  await page.goto(at);
  await page.waitForFunction(() => {
    const buttons = [...document.querySelectorAll("main button, .template-default button")];
    const works = (button: Element) => Object.keys(button).some((key) => key.startsWith("__reactProps"));
    return buttons.length > 0 && buttons.every(works);
  });
  await page.waitForLoadState("networkidle");
}

/** Faults of what the plugin adds; the rest of the page is Payload's. */
async function faults(page: Page, selector: string): Promise<string[]> {
  await page.evaluate(AXE);
  return page.evaluate(async (within) => {
    const axe = (
      globalThis as unknown as {
        axe: { run(at: string): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> };
      }
    ).axe;
    const { violations } = await axe.run(within);
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  }, selector);
}

test("an upload is described at once; an edit is kept and marked as one", async () => {
  const page = await site.login("editor");
  await open(page, "/admin/collections/media/create");
  await page.setInputFiles("input[type=file]", await file());
  await page.click("#action-save");
  await page.waitForURL(/media\/\d+/);
  await page.waitForFunction(() => document.querySelector<HTMLTextAreaElement>("#field-alt")?.value !== "");
  expect(await page.inputValue("#field-alt")).toBe("A dog on grass");
  await page.waitForSelector('[role=status]:has-text("Score 80 of 100")');
  await page.fill("#field-alt", "A dog on wet grass");
  await save(page);
  await page.waitForSelector('[role=status]:has-text("Generated, then edited")');
  await page.reload();
  expect(await page.inputValue("#field-alt")).toBe("A dog on wet grass");
  expect(await faults(page, ".alt-text-tools")).toEqual([]);
  await page.close();
});

test("a text with a low score needs review until a person saves it", async () => {
  api.answer = caption({ needs_review: true, score: 0.2 });
  const id = await upload();
  const page = await site.login("editor");
  await open(page, `/admin/collections/media/${id}`);
  await page.waitForSelector('[role=status]:has-text("Needs review")');
  await page.fill("#field-credit", "somebody");
  await save(page);
  await page.waitForSelector('[role=status]:has-text("Described")');
  expect(await stored(id)).toMatchObject({
    altState: "described",
    altSource: "generated",
    credit: "somebody",
  });
  await page.close();
});

test("a text that is right as it is can be saved without a change, by keyboard", async () => {
  api.answer = caption({ needs_review: true, score: 0.2 });
  const id = await upload();
  const page = await site.login("editor");
  await open(page, `/admin/collections/media/${id}`);
  expect(await page.locator("#action-save").isDisabled()).toBe(true);
  await page.locator('button:has-text("It is right as it is")').press("Enter");
  await page.waitForSelector('[role=status]:has-text("Save, and it counts as read.")');
  expect(await faults(page, ".alt-text-tools")).toEqual([]);
  await save(page);
  await page.waitForSelector('[role=status]:has-text("Described")');
  expect(await stored(id)).toMatchObject({
    alt: "A dog on grass",
    altState: "described",
    altSource: "generated",
  });
  await page.close();
});

test("Generate offers words before the first save, and a person's choice is kept", async () => {
  let number = 0;
  const words = ["A dog", "A brown dog", "A dog on grass", "A dog outdoors"];
  api.answer = (request, response, body) => {
    if (request.method === "GET") return problem(404, "not-captioned")(request, response, body);
    return caption({ alt: words[number++ % words.length] ?? "" })(request, response, body);
  };
  const page = await site.login("editor");
  await open(page, "/admin/collections/media/create");
  await page.setInputFiles("input[type=file]", await file());
  const generate = page.locator('button:has-text("Generate alt text")');
  await generate.press("Enter");
  await page.waitForSelector(
    '[aria-live=polite]:has-text("The text is in the field now: read it, and save.")',
  );
  // Whoever has no mouse goes on from where they are.
  expect(await generate.evaluate((button) => button === document.activeElement)).toBe(true);
  expect(words).toContain(await page.inputValue("#field-alt"));
  await page.waitForSelector("text=Use instead:");
  const other = page.locator("ul li button").first();
  const text = (await other.textContent()) ?? "";
  await other.press("Enter");
  expect(await page.inputValue("#field-alt")).toBe(text);
  expect(await page.evaluate(() => document.activeElement?.id)).toBe("field-alt");
  await page.click("#action-save");
  await page.waitForURL(/media\/\d+/);
  const id = Number(/media\/(\d+)/.exec(page.url())?.[1]);
  expect(await stored(id)).toMatchObject({ alt: text, altState: "described", altSource: "generated" });
  await page.close();
});

test("Generate leaves a field to an editor who types while it is under way", async () => {
  const page = await site.login("editor");
  await open(page, "/admin/collections/media/create");
  await page.setInputFiles("input[type=file]", await file());
  let release = () => {};
  const typed = new Promise<void>((resolve) => {
    release = resolve;
  });
  await page.route("**/api/alt-text/media/suggest", async (route) => {
    await typed;
    await route.continue();
  });
  await page.click('button:has-text("Generate alt text")');
  await page.locator("#field-alt").pressSequentially("Words that I am typing");
  release();
  await page.waitForSelector("text=Use instead:");
  await page.waitForSelector('[aria-live=polite]:has-text("The field is as it was: choose below.")');
  expect(await page.inputValue("#field-alt")).toBe("Words that I am typing");
  await page.close();
});

test("Generate works in the bulk upload drawer, and does not touch the words in the field", async () => {
  const page = await site.login("editor");
  await open(page, "/admin/collections/media");
  await page.click('button:has-text("Bulk Upload")');
  await page.setInputFiles(".drawer input[type=file], dialog input[type=file], input[type=file]", [
    await file("a.png"),
    await file("b.png"),
  ]);
  await page.waitForSelector("#field-alt");
  await page.fill("#field-alt", "My own words");
  await page.click('button:has-text("Generate alt text")');
  await page.waitForSelector("text=Use instead:");
  expect(await page.inputValue("#field-alt")).toBe("My own words");
  await page.close();
});

test("an editor who types while the job finishes keeps the words, and meets no warning", async () => {
  api.answer = problem(503, "unavailable");
  const id = await upload();
  const page = await site.login("editor");
  await open(page, `/admin/collections/media/${id}`);
  await page.waitForSelector('[role=status]:has-text("Waiting for a description")');
  await page.fill("#field-alt", "Words that I am typing");
  api.answer = caption({ alt: "Words of the machine" });
  await site.api(`/media/${id}`);
  await expect.poll(async () => (await stored(id)).alt, { interval: 500 }).toBe("Words of the machine");
  await page.waitForTimeout(2500);
  await page.locator("#field-alt").pressSequentially(" now");
  expect(await page.inputValue("#field-alt")).toBe("Words that I am typing now");
  await page.waitForTimeout(1000);
  expect(await page.locator("#document-stale-data").count()).toBe(0);
  await save(page);
  expect(await stored(id)).toMatchObject({ alt: "Words that I am typing now", altState: "described" });
  await page.close();
});

test("an editor who begins to type while the form looks for the job's words keeps their own", async () => {
  api.answer = problem(503, "unavailable");
  const id = await upload();
  const page = await site.login("editor");
  await open(page, `/admin/collections/media/${id}`);
  await page.waitForSelector('[role=status]:has-text("Waiting for a description")');
  let release = () => {};
  const typed = new Promise<void>((resolve) => {
    release = resolve;
  });
  const found = new Promise<void>((resolve) => {
    void page.route(`**/api/media/${id}?*`, async (route) => {
      const response = await route.fetch();
      const { altState } = (await response.json()) as { altState: string };
      if (altState !== "pending") {
        resolve();
        await typed;
      }
      await route.fulfill({ response }).catch(() => {});
    });
  });
  api.answer = caption({ alt: "Words of the machine" });
  await found;
  await page.locator("#field-alt").pressSequentially("Words that I am typing");
  release();
  await page.waitForSelector('[role=status]:has-text("Waiting for a description")', { state: "detached" });
  expect(await page.inputValue("#field-alt")).toBe("Words that I am typing");
  await page.close();
});

test("a form that waits for the description takes over a colleague's decorative mark", async () => {
  api.answer = problem(503, "unavailable");
  const id = await upload();
  const page = await site.login("editor");
  await open(page, `/admin/collections/media/${id}`);
  await page.waitForSelector('[role=status]:has-text("Waiting for a description")');
  const headers = { "content-type": "application/json" };
  await site.api(`/media/${id}`, { method: "PATCH", body: '{"altDecorative":true}', headers });
  await page.waitForSelector('[role=status]:has-text("Decorative")');
  await page.fill("#field-credit", "x");
  await save(page);
  expect(await stored(id)).toMatchObject({ altDecorative: true, altState: "decorative", credit: "x" });
  await page.close();
});

test("an untouched form takes over what the job wrote", async () => {
  api.answer = problem(503, "unavailable");
  const id = await upload();
  const page = await site.login("editor");
  await open(page, `/admin/collections/media/${id}`);
  await page.waitForSelector('[role=status]:has-text("Waiting for a description")');
  api.answer = caption({ alt: "Words of the machine" });
  await page.waitForFunction(() => document.querySelector<HTMLTextAreaElement>("#field-alt")?.value !== "");
  expect(await page.inputValue("#field-alt")).toBe("Words of the machine");
  await page.fill("#field-credit", "x");
  await page.waitForTimeout(1000);
  expect(await page.locator("#document-stale-data").count()).toBe(0);
  await save(page);
  expect(await stored(id)).toMatchObject({ alt: "Words of the machine", credit: "x" });
  await page.close();
});

test("a run over 50 pictures shows its progress, survives the tab, and can be cancelled and taken up again", async () => {
  api.answer = problem(422, "unreadable-image");
  for (let n = 0; n < 50; n += 10)
    await Promise.all(Array.from({ length: 10 }, () => upload({ credit: "of the run" })));
  // It does not end before it is cancelled, however long the pages take.
  const isCancelled = Promise.withResolvers<void>();
  let sent = 0;
  api.answer = async (...call) => {
    if (call[0].method === "POST" && sent++ >= 12) await isCancelled.promise;
    await caption()(...call);
  };
  const page = await site.login("editor");
  await open(page, "/admin/collections/media");
  const said = page.locator('section[aria-label="Alt text"] [role=status]');
  await said.evaluate((status) => status.setAttribute("data-before", ""));
  await page.locator('button:has-text("Generate all missing alt text")').press("Enter");
  await page.waitForSelector("progress");
  await page.waitForFunction(() => (document.querySelector("progress")?.value ?? 0) > 4);
  // In a place that was there before, or screen readers keep silent; and once, not at every picture.
  expect(await said.getAttribute("data-before")).toBe("");
  expect(await said.textContent()).toBe("Generating alt text");
  expect(await page.evaluate(() => document.activeElement?.getAttribute("aria-label"))).toBe("Alt text");
  expect(await faults(page, 'section[aria-label="Alt text"]')).toEqual([]);
  await page.close();

  const again = await site.login("editor");
  await open(again, "/admin/collections/media");
  await again.waitForSelector("progress");
  await again.click('section[aria-label="Alt text"] button:has-text("Cancel")');
  const lastRun = () => site.api("/alt-text-runs?sort=-createdAt&limit=1");
  await expect.poll(lastRun).toMatchObject({ docs: [{ status: "cancelled" }] });
  isCancelled.resolve();
  await again.waitForSelector("text=/Alt text: cancelled after \\d+ of 5\\d/");
  const left = async () => {
    const { totalDocs } = await site.api(
      "/media?where[credit][equals]=of%20the%20run&where[altState][equals]=failed&limit=1",
    );
    return Number(totalDocs);
  };
  await expect.poll(left).toBeGreaterThan(0);
  expect(await left()).toBeLessThan(50);

  api.answer = caption();
  await again.click('button:has-text("Generate all missing alt text")');
  await again.waitForSelector("text=/Alt text: all \\d+ done/");
  expect(await left()).toBe(0);
  await again.close();
});

test("a run that has nothing to do says so", async () => {
  const { docs } = (await site.api("/media?limit=0&depth=0")) as { docs: { id: number; alt?: string }[] };
  for (const { id } of docs.filter(({ alt }) => !alt)) await site.api(`/media/${id}`, { method: "DELETE" });
  const page = await site.login("editor");
  await open(page, "/admin/collections/media");
  await page.click("text=Generate all missing alt text");
  await page.waitForSelector(".payload-toast-container >> text=There is nothing to describe.");
  await page.close();
});

test("in a bulk edit the words are written for all, and none are generated", async () => {
  const ids = [await upload(), await upload()];
  const page = await site.login("editor");
  await open(page, `/admin/collections/media?where[or][0][and][0][id][in]=${ids}`);
  await page.check("thead input[type=checkbox]");
  await page.click(".list-selection button:has-text('Edit')");
  const drawer = page.locator(".drawer--is-open");
  await drawer.locator(".rs__control").click();
  await drawer.locator(".rs__option:has-text('Alt text')").click();
  await drawer.locator("#field-alt").fill("One text for both");
  expect(await drawer.getByText("Generate alt text").count()).toBe(0);
  await drawer.getByRole("button", { name: "Save" }).click();
  await page.waitForSelector(".payload-toast-container .toast-success");
  for (const id of ids)
    expect(await stored(id)).toMatchObject({ alt: "One text for both", altState: "described" });
  await page.close();
});

test("a run over selected pictures skips what a person wrote", async () => {
  const id = await upload({ alt: "Words of a person" });
  const page = await site.login("editor");
  await open(page, "/admin/collections/media?limit=10");
  await page.click("thead input[type=checkbox]");
  await page.click('button:has-text("selected")');
  await page.waitForSelector("text=/Alt text: all 10 done/");
  await page.waitForSelector("text=/skipped 10/");
  expect(await stored(id)).toMatchObject({ alt: "Words of a person" });
  await page.close();
});

test("a run over all that match the filter takes only those, and says why one failed", async () => {
  api.answer = problem(422, "unreadable-image");
  const damage = await picture();
  const [damaged, other, outside] = [
    await upload({ credit: "of the filter" }, damage),
    await upload({ credit: "of the filter" }),
    await upload(),
  ];
  api.answer = (request, response, body) => {
    const isDamaged = request.method === "POST" && body.equals(damage);
    (isDamaged ? problem(422, "unreadable-image") : caption())(request, response, body);
  };
  const page = await site.login("editor");
  await open(page, "/admin/collections/media?where[or][0][and][0][credit][equals]=of%20the%20filter");
  await Promise.all([
    page.waitForResponse((response) => response.url().endsWith("/runs") && response.status() === 202),
    page.click('button:has-text("Generate alt text for all matching the filter")'),
  ]);
  await page.waitForSelector("text=/Alt text: all 2 done/");
  await page.click('summary:has-text("Why 1 failed")');
  await page.waitForSelector(`text=${damaged}: The picture is damaged.`);
  expect(await faults(page, 'section[aria-label="Alt text"]')).toEqual([]);
  expect(await stored(other)).toMatchObject({ alt: "A dog on grass" });
  expect(await stored(outside)).toMatchObject({ altState: "failed" });
  for (const id of [damaged, outside]) await site.api(`/media/${id}`, { method: "DELETE" });
  await page.close();
});

test("the dashboard counts, and its numbers lead to their lists", async () => {
  api.answer = caption({ needs_review: true });
  await upload();
  api.answer = problem(422, "unreadable-image");
  await upload();
  const page = await site.login("editor");
  await open(page, "/admin");
  const review = page.locator('a:has-text("Pictures to review")');
  expect(await review.textContent()).toMatch(/: 1$/);
  expect(await page.locator('a:has-text("Pictures without alt text")').textContent()).toMatch(/: 1$/);
  expect(await faults(page, 'section[aria-label="Alt text"]')).toEqual([]);
  await review.click();
  await page.waitForURL(/altState/);
  await page.waitForSelector("tbody tr");
  expect(await page.locator("tbody tr").count()).toBe(1);
  expect(await page.locator("tbody").textContent()).toContain("Needs review");
  expect(await faults(page, "tbody .cell-altState")).toEqual([]);
  await page.close();
});

test("the list has columns for state, source and score, and none for the decorative mark", async () => {
  await upload();
  const page = await site.login("editor");
  const columns = ["filename", "altState", "altSource", "altScore", "altDecorative"];
  await open(page, `/admin/collections/media?columns=${JSON.stringify(columns)}`);
  const heads = (await page.locator("thead th").allTextContents()).join();
  for (const head of ["Alt text state", "Alt text comes from", "Alt text score"])
    expect(heads).toContain(head);
  expect(heads).not.toContain("Decorative");
  await page.close();
});

test("a reader sees the text and no way to change it", async () => {
  const id = await upload();
  const page = await site.login("reader");
  await open(page, `/admin/collections/media/${id}`);
  await page.waitForSelector("#field-alt");
  expect(await page.locator('button:has-text("Generate alt text")').count()).toBe(0);
  await open(page, "/admin/collections/media");
  await page.waitForSelector("tbody tr");
  expect(await page.locator('section[aria-label="Alt text"]').count()).toBe(0);
  await page.close();
});

test("a run over search results takes only those, on this page and on all", async () => {
  api.answer = problem(422, "unreadable-image");
  const named = async (name: string) => {
    const form = new FormData();
    form.append("file", new File([new Uint8Array(await picture())], name, { type: "image/png" }));
    const { doc } = (await site.api("/media", { method: "POST", body: form })) as { doc: { id: number } };
    return doc.id;
  };
  const found = [await named("sought-1.png"), await named("sought-2.png")];
  const outside = await named("elsewhere.png");
  api.answer = caption();
  const page = await site.login("editor");
  /** What the run that this button starts comes to. */
  const run = async (button: string): Promise<unknown> => {
    const [response] = await Promise.all([
      page.waitForResponse((one) => one.url().endsWith("/runs")),
      page.click(`button:has-text("${button}")`),
    ]);
    const { run: started } = (await response.json()) as { run: { id: number } };
    const end = async () => site.api(`/alt-text-runs/${started.id}`);
    await expect.poll(async () => (await end()).status).toBe("completed");
    return end();
  };
  await open(page, "/admin/collections/media?search=sought");
  expect(await run("Generate alt text for all matching the filter")).toMatchObject({ total: 2, failed: 0 });
  for (const id of found) expect(await stored(id)).toMatchObject({ alt: "A dog on grass" });

  await open(page, "/admin/collections/media?search=sought&limit=1");
  await page.click("thead input[type=checkbox]");
  await page.click('.list-selection button:has-text("Select all")');
  expect(await run("Generate alt text for 2 selected")).toMatchObject({ total: 2, skipped: 2 });
  expect(await stored(outside)).toMatchObject({ altState: "failed" });
  for (const id of [...found, outside]) await site.api(`/media/${id}`, { method: "DELETE" });
  await page.close();
});

test("words that were generated for a file go when another file is chosen; a person's words stay", async () => {
  const page = await site.login("editor");
  await open(page, "/admin/collections/media/create");
  await page.setInputFiles("input[type=file]", await file("first.png"));
  await page.click('button:has-text("Generate alt text")');
  await page.waitForFunction(() => document.querySelector<HTMLTextAreaElement>("#field-alt")?.value !== "");
  await page.click('button[aria-label="Remove"], .file-field__remove');
  await page.setInputFiles("input[type=file]", await file("second.png"));
  await page.waitForFunction(() => document.querySelector<HTMLTextAreaElement>("#field-alt")?.value === "");
  await page.fill("#field-alt", "My own words");
  await page.click('button[aria-label="Remove"], .file-field__remove');
  await page.setInputFiles("input[type=file]", await file("third.png"));
  await page.waitForSelector('button:has-text("Generate alt text")');
  expect(await page.inputValue("#field-alt")).toBe("My own words");
  await page.close();
});
