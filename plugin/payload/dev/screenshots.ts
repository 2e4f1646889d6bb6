/** `../../node_modules/.bin/node dev/screenshots.ts URL`: pictures of a running `npm run cms` for the README, into docs/. */

import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const [url = "http://127.0.0.1:3000"] = process.argv.slice(2);
const shot = (name: string) => fileURLToPath(new URL(`../docs/${name}.png`, import.meta.url));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage({ baseURL: url, viewport: { width: 1200, height: 800 } });
await page.goto("/admin/login");
await page.fill("#field-email", "editor@example.org");
await page.fill("#field-password", "alt-text");
await page.click(".form-submit button");
await page.waitForSelector('a:has-text("without alt text")');
await page.screenshot({ path: shot("dashboard") });

await page.goto("/admin/collections/media");
await page.waitForLoadState("networkidle");
await page.click("tbody tr:nth-child(3) input[type=checkbox]");
await page.waitForSelector('button:has-text("1 selected")');
await page.screenshot({ path: shot("list") });

await page.click('tbody a:has-text("astronaut.jpg")');
await page.waitForSelector("#field-alt");
await page.waitForLoadState("networkidle");
await page.click('button:has-text("Generate alt text")');
await page.waitForSelector("text=/Use( instead)?:/");
await page.screenshot({ path: shot("edit"), fullPage: true });
await browser.close();
