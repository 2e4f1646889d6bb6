/** The admin panel of a site with several locales. */

import { afterAll, beforeAll, expect, test } from "vitest";
import { caption, problem, type StandIn, startStandIn } from "../captioner-stand-in.ts";
import { picture } from "../picture.ts";
import { type RunningSite, save, startRunningSite } from "./running-site.ts";

let api: StandIn;
let site: RunningSite;
beforeAll(async () => {
  api = await startStandIn();
  site = await startRunningSite(api.url, ["de", "en"]);
});
afterAll(async () => {
  await site?.stop();
  await api?.stop();
});

test("a description that comes while a form of another locale is open stays out of it", async () => {
  api.answer = problem(503, "unavailable");
  const page = await site.login("editor");
  await page.goto("/admin/collections/media/create?locale=de");
  await page.waitForLoadState("networkidle");
  await page.setInputFiles("input[type=file]", {
    name: "photo.png",
    mimeType: "image/png",
    buffer: await picture(),
  });
  await page.click("#action-save");
  await page.waitForURL(/media\/\d+/);
  await page.waitForSelector("text=Waiting for a description");
  api.answer = caption({ alt: "A dog on grass" });
  await page.waitForSelector("text=Waiting for a description", { state: "detached" });
  expect(await page.inputValue("#field-alt")).toBe("");
  await page.fill("#field-credit", "somebody");
  await save(page);
  const [doc] = (await site.api("/media?locale=all&depth=0")).docs as [{ alt: object; credit: string }];
  expect(doc).toMatchObject({ alt: { en: "A dog on grass" }, credit: "somebody" });
  expect(doc.alt).not.toHaveProperty("de", "A dog on grass");
});
