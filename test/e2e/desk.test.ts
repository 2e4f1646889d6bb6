/** The desk in a real browser, as a person, a keyboard and a screen reader's rules meet it. */

import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CHROMIUM, launchBrowser } from "../../local/chromium.ts";
import { type RunningEdge, startEdge } from "../../local/edge.ts";
import { type LocalServer, startServer } from "../../local/local-server.ts";
import { contentHash } from "../../shared/content-hash.ts";
import { readCsvTable } from "../../shared/csv.ts";
import { jpegPicture } from "../support/pictures.ts";
import { APPEARANCES, appearAs, axeViolations, sidewaysScroll } from "./browser-support.ts";
import { keys, type RunningBackend, startBackend } from "./edge-support.ts";

describe.skipIf(CHROMIUM === undefined)("the desk", () => {
  let edge: RunningEdge;
  let backend: RunningBackend;
  let browser: Browser;
  let page: Page;
  let complaints: string[];
  let seed = 0;

  beforeAll(async () => {
    backend = await startBackend();
    edge = await startEdge({ BACKEND_URLS: backend.url });
    browser = await launchBrowser();
  });
  afterAll(async () => {
    await browser?.close();
    await edge?.stop();
    backend?.process.kill("SIGKILL");
  });
  beforeEach(async () => {
    const context = await browser.newContext({ permissions: ["clipboard-read", "clipboard-write"] });
    page = await context.newPage();
    complaints = [];
    // Also what the content security policy blocks ends up here; a look-up by hash that finds nothing is no complaint.
    page.on("console", (message) => {
      if (message.type() === "error" && !message.text().startsWith("Failed to load"))
        complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(String(error)));
    await page.goto(edge.url);
  });
  afterEach(async () => {
    await page.context().close();
    expect(complaints).toEqual([]);
  });

  const file = async (name: string, number = seed++) => ({
    name,
    mimeType: "image/jpeg",
    // Decoders skip what follows a JPEG's end: each file has a hash of its own, though colours come again.
    buffer: Buffer.concat([await jpegPicture(number), Buffer.from(String(number))]),
  });
  const files = async (count: number, name = "photo") =>
    Promise.all(Array.from({ length: count }, (_, i) => file(`${name} ${i}.jpg`)));
  const add = async (given: Awaited<ReturnType<typeof file>>[]) =>
    page.getByLabel("Picture files").setInputFiles(given);
  const rows = () => page.locator("#rows > li");
  const row = (name: string) => rows().filter({ has: page.getByRole("heading", { name, exact: true }) });
  const textOf = (name: string) => page.getByLabel(`Alt text of ${name}`);
  const captioned = async (name: string) => {
    await row(name)
      .getByText(/Unsure|fairly sure/)
      .waitFor();
  };
  const status = () => page.locator("#status");
  /** From now on, what stands at a place of the page, each time that something is written there. @returns reads it */
  async function record(place = "#status"): Promise<() => Promise<string[]>> {
    await page.evaluate((selector) => {
      const texts: string[] = [];
      Object.assign(globalThis, { [selector]: texts });
      new MutationObserver((changes) => {
        const element = document.querySelector(selector);
        if (element === null || !changes.some(({ target }) => element.contains(target))) return;
        texts.push(element.textContent);
      }).observe(document.body, { childList: true, characterData: true, subtree: true });
    }, place);
    return () =>
      page.evaluate((selector) => (globalThis as unknown as Record<string, string[]>)[selector] ?? [], place);
  }

  test("captions several files at once, a row each, and says so in words", async () => {
    await add(await files(5));
    for (let i = 0; i < 5; i++) await captioned(`photo ${i}.jpg`);
    expect(await rows().count()).toBe(5);
    expect(await textOf("photo 0.jpg").inputValue()).toMatch(/^\d+ \d+ \d+$/);
    expect(await row("photo 0.jpg").textContent()).toMatch(/\d+ of 125 characters/);
    await status().filter({ hasText: "0 of 5 decided." }).waitFor();
    await row("photo 0.jpg").locator("img[src^=blob]").waitFor();
  });

  test("if the browser has no room for the texts, the page says so, and keeps them all once there is some", async () => {
    const devtools = await page.context().newCDPSession(page);
    const quota = (quotaSize?: number) =>
      devtools.send("Storage.overrideQuotaForOrigin", { origin: edge.url, ...(quotaSize && { quotaSize }) });
    const warning = page.getByText("This browser does not keep your texts");
    await quota(1);
    await add(await files(2));
    for (const i of [0, 1]) await captioned(`photo ${i}.jpg`);
    await warning.waitFor();
    expect(await axeViolations(page)).toEqual([]);
    await quota();
    await textOf("photo 0.jpg").press("Enter");
    await warning.waitFor({ state: "hidden" });
    await page.reload();
    await status().filter({ hasText: "As you left it. 1 of 2 decided." }).waitFor();
  });

  test("the demonstration model's captions are marked as such, even after a reload, for as long as they are on the desk", async () => {
    const warning = page.getByText("the small demonstration model");
    await page.route("**/v1/captions", async (route) => {
      const response = await route.fetch();
      const { model, ...caption } = await response.json();
      await route.fulfill({
        response,
        json: { ...caption, model: { ...model, id: "hybrid-small+flickr8k" } },
      });
    });
    await add(await files(1));
    await captioned("photo 0.jpg");
    await warning.waitFor();
    await textOf("photo 0.jpg").press("Enter");
    await page.reload();
    await status().filter({ hasText: "As you left it. 1 of 1 decided." }).waitFor();
    await warning.waitFor();
    await page.unrouteAll();
    page.once("dialog", (dialog) => dialog.accept());
    await page.getByRole("button", { name: "Empty the desk" }).click();
    await add(await files(1, "other"));
    await captioned("other 0.jpg");
    expect(await warning.isVisible()).toBe(false);
  });

  test("if the browser refuses to open its storage, links work and the desk can be emptied", async () => {
    await page.addInitScript(() => {
      IDBFactory.prototype.open = () => {
        throw new DOMException("The operation is insecure.", "SecurityError");
      };
    });
    await page.goto("about:blank");
    await page.goto(`${edge.url}/#caption=${"0".repeat(64)}`);
    await row("Picture 000000000000…").getByText("Add its file again").waitFor();
    await page.getByText("This browser does not keep your texts").waitFor();
    page.on("dialog", (dialog) => void dialog.accept());
    await page.getByRole("button", { name: "Empty the desk" }).click();
    await page.getByText("The desk is empty.", { exact: true }).waitFor();
  });

  test("texts that the browser does not keep are not closed away without a question", async () => {
    await page.addInitScript(() => {
      IDBFactory.prototype.open = () => {
        throw new DOMException("The operation is insecure.", "SecurityError");
      };
    });
    await page.reload();
    await add(await files(1));
    await captioned("photo 0.jpg");
    await textOf("photo 0.jpg").pressSequentially("Mine");
    await page.getByText("This browser does not keep your texts").waitFor();
    const asked = page.waitForEvent("dialog");
    await page.close({ runBeforeUnload: true });
    const question = await asked;
    expect(question.type()).toBe("beforeunload");
    await question.dismiss();
    expect(await textOf("photo 0.jpg").inputValue()).toContain("Mine");
  });

  test("at a plain http address, where browsers cannot hash, it says what it needs", async () => {
    await page.route("http://captions.test/**", async (route) => {
      const { pathname } = new URL(route.request().url());
      await route.fulfill({ response: await page.request.get(`${edge.url}${pathname}`) });
    });
    await page.goto("http://captions.test/");
    await page.getByText("This page needs an address that begins with https://").waitFor();
    expect(await page.getByLabel("Picture files").isVisible()).toBe(false);
    expect(await axeViolations(page)).toEqual([]);
    expect(complaints.splice(0)).toEqual([
      expect.stringMatching(/^The Cross-Origin-Opener-Policy header has been ignored/),
    ]);
  });

  test("a form that the browser refills on a reload, as Firefox does, applies as shown", async () => {
    const [sure, unsure] = ["sure.jpg", "unsure.jpg"];
    for (const name of [sure, unsure]) {
      await page.route("**/v1/captions", async (route) => {
        const response = await route.fetch();
        await route.fulfill({
          response,
          json: { ...(await response.json()), needs_review: name === unsure },
        });
      });
      await add([await file(name)]);
      await captioned(name);
      // What is decided is kept at once, with what came before it.
      await textOf(name).press("Enter");
    }
    expect(await rows().getByRole("heading").allTextContents()).toEqual([sure, unsure]);
    await page.addInitScript(() => {
      new MutationObserver(() => {
        for (const [id, value] of [
          ["max-length", "30"],
          ["num-beams", "99"],
        ] as const) {
          const field = document.getElementById(id) as HTMLInputElement | null;
          if (field !== null) field.value = value;
        }
        const box = document.getElementById("review-first") as HTMLInputElement | null;
        if (box !== null) box.checked = true;
      }).observe(document, { childList: true, subtree: true });
    });
    await page.reload();
    await status().filter({ hasText: "As you left it." }).waitFor();
    expect(await rows().getByRole("heading").allTextContents()).toEqual([unsure, sure]);
    expect(await page.getByLabel("Longest alt text").isVisible()).toBe(true);
    await page.getByText("Expected a whole number from 1 to 8").waitFor();
  });

  test("sixty pictures by keyboard alone: two fail, one is retried, a reload in the middle, the export is right", async () => {
    const given = await files(60);
    (given[7] as { buffer: Buffer }).buffer = Buffer.from("no picture");
    // The second one fails once: its service is away for that request.
    const away = await jpegPicture(9_999);
    given[9] = { name: "photo 9.jpg", mimeType: "image/jpeg", buffer: Buffer.from(away) };
    let refusals = 0;
    await page.route(`**/v1/captions/${await contentHash(away)}*`, async (route) => {
      if (refusals++ === 0) await route.fulfill({ status: 500, body: "<html>" });
      else await route.continue();
    });
    await add(given);
    await page.getByText("Captioning is done. 0 of 60 decided, 2 failed.").waitFor({ timeout: 120_000 });
    await row("photo 7.jpg").getByText("This is not a picture.").waitFor();
    expect(await row("photo 7.jpg").getByRole("button", { name: "Retry" }).isVisible()).toBe(false);
    const retry = row("photo 9.jpg").getByRole("button", { name: "Retry" });
    await retry.focus();
    await page.keyboard.press("Enter");
    await captioned("photo 9.jpg");
    expect(
      await page.evaluate(() => document.activeElement?.closest("li")?.querySelector("h3")?.textContent),
    ).toBe("photo 9.jpg");

    await textOf("photo 0.jpg").focus();
    for (let i = 0; i < 5; i++) {
      expect(
        await page.evaluate(() => document.activeElement?.closest("li")?.querySelector("h3")?.textContent),
      ).toBe(`photo ${i}.jpg`);
      if (i === 1) {
        await page.keyboard.press("Control+a");
        await page.keyboard.type("=A red square, mine");
      }
      await page.keyboard.press("Enter");
    }
    await status().filter({ hasText: "Accepted. 5 of 60 decided, 1 failed." }).waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Decorative photo 5.jpg");
    await page.keyboard.press("Enter");
    await status().filter({ hasText: "Marked decorative. 6 of 60 decided" }).waitFor();

    await page.reload();
    await expect.poll(() => status().textContent()).toMatch(/^As you left it\. 6 of 60 decided/);
    expect(await textOf("photo 1.jpg").inputValue()).toBe("=A red square, mine");
    expect(await row("photo 20.jpg").textContent()).toMatch(/Unsure|fairly sure/);

    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download" }).press("Enter"),
    ]);
    const table = readCsvTable(await readFile(await download.path(), "utf8"));
    expect(table.map(({ name, decision, edited }) => [name, decision, edited])).toEqual([
      ["photo 0.jpg", "accepted", "false"],
      ["photo 1.jpg", "accepted", "true"],
      ["photo 2.jpg", "accepted", "false"],
      ["photo 3.jpg", "accepted", "false"],
      ["photo 4.jpg", "accepted", "false"],
      ["photo 5.jpg", "decorative", "false"],
    ]);
    expect(table[1]?.alt).toBe("=A red square, mine");
    expect(table[5]?.alt).toBe("");
  });

  test("five hundred pictures: every row is there, worked on, and in its place after a reload", async () => {
    await add(await files(500));
    await expect.poll(() => rows().count()).toBe(500);
    await textOf("photo 0.jpg").focus();
    await captioned("photo 0.jpg");
    await textOf("photo 0.jpg").fill("Typed while the others are captioned");
    await page.keyboard.press("Enter");
    await expect
      .poll(
        () =>
          rows()
            .getByText(/Unsure|fairly sure|Accepted/)
            .count(),
        // Each look costs the page time, too.
        { timeout: 400_000, interval: 1_000 },
      )
      .toBe(500);
    await textOf("photo 499.jpg").fill("The last one");
    await page.keyboard.press("Enter");
    await status().filter({ hasText: "Accepted. 2 of 500 decided." }).waitFor();
    // Only what comes near the view is made small.
    expect(await page.locator("#rows img[src^=blob]").count()).toBeLessThan(100);
    await page.reload();
    await status().filter({ hasText: "As you left it. 2 of 500 decided." }).waitFor({ timeout: 30_000 });
    const names = await rows().getByRole("heading").allTextContents();
    expect(names).toEqual(Array.from({ length: 500 }, (_, i) => `photo ${i}.jpg`));
    expect(await textOf("photo 0.jpg").inputValue()).toBe("Typed while the others are captioned");
    expect(await textOf("photo 499.jpg").inputValue()).toBe("The last one");
  }, 600_000);

  test("takes away HTML, Markdown and JSON, decorative ones with an empty alt", async () => {
    await add(await files(2));
    await captioned("photo 0.jpg");
    await captioned("photo 1.jpg");
    await textOf("photo 0.jpg").fill('Two "dogs" & a <cat>');
    await row("photo 0.jpg").getByRole("button", { name: "Accept" }).click();
    await row("photo 1.jpg").getByRole("button", { name: "Decorative" }).click();
    const taken: Record<string, string> = {};
    for (const format of ["csv", "html", "markdown", "json"]) {
      await page.getByLabel("As", { exact: true }).selectOption(format);
      // What is said may be of the format before.
      await page.evaluate(() => navigator.clipboard.writeText(""));
      await page.getByRole("button", { name: "Copy", exact: true }).last().click();
      await status().filter({ hasText: "All texts copied." }).waitFor();
      const copied = () => page.evaluate(() => navigator.clipboard.readText());
      await expect.poll(copied).not.toBe("");
      taken[format] = await copied();
    }
    expect(taken.html).toBe(
      '<img src="photo%200.jpg" alt="Two &quot;dogs&quot; &amp; a &lt;cat&gt;">\n<img src="photo%201.jpg" alt="">\n',
    );
    expect(taken.markdown).toBe('![Two "dogs" & a \\<cat\\>](<photo%200.jpg>)\n![](<photo%201.jpg>)\n');
    expect(taken.csv).toMatch(/^name,alt,/);
    expect(JSON.parse(taken.json ?? "")).toMatchObject([
      { edited: true },
      { decision: "decorative", alt: "" },
    ]);
  });

  test("what is dropped and pasted is added, all of it, and the same file can be chosen again", async () => {
    for (const type of ["drop", "paste"] as const) {
      const pictures = await Promise.all([jpegPicture(seed++), jpegPicture(seed++)]);
      await page.evaluate(
        ([eventType, all]) => {
          const transfer = new DataTransfer();
          all.forEach((bytes, i) => {
            transfer.items.add(
              new File([new Uint8Array(bytes)], `${eventType} ${i}.jpg`, { type: "image/jpeg" }),
            );
          });
          const event =
            eventType === "drop"
              ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
              : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
          document.body.dispatchEvent(event);
        },
        [type, pictures.map((picture) => Array.from(picture))] as const,
      );
      for (const i of [0, 1]) await captioned(`${type} ${i}.jpg`);
    }
    await row("paste 0.jpg").getByText("From a program").click();
    expect(await row("paste 0.jpg").locator("pre").first().textContent()).toMatch(
      /^curl http:\/\/127\.0\.0\.1:\d+\/v1\/captions\/[0-9a-f]{64}$/,
    );
    await row("drop 0.jpg").getByText("From a program").click();
    expect(await row("drop 0.jpg").locator("pre").first().textContent()).toContain("@'drop 0.jpg'");
    const same = await file("same.jpg");
    await add([same]);
    await add([same]);
    await expect.poll(() => rows().count()).toBe(6);
  });

  test("a folder that is dropped brings its pictures in reading order, and says what it left out", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "desk-"));
    const album = path.join(folder, "album");
    await mkdir(path.join(album, "more"), { recursive: true });
    for (const name of ["2.jpg", "10.jpg", "more/1.jpg", ".hidden.jpg"])
      await writeFile(path.join(album, name), await jpegPicture(seed++));
    await writeFile(path.join(album, "notes.txt"), "no picture");
    const devtools = await page.context().newCDPSession(page);
    const data = { items: [], files: [album], dragOperationsMask: 1 };
    const said = await record();
    for (const type of ["dragEnter", "dragOver", "drop"] as const)
      await devtools.send("Input.dispatchDragEvent", { type, x: 200, y: 200, data });
    // Until captioning is done, which may be at once.
    await expect
      .poll(said)
      .toContainEqual(expect.stringContaining("Left out of the folder, as no pictures: 1."));
    for (const name of ["album/2.jpg", "album/10.jpg", "album/more/1.jpg"]) await captioned(name);
    expect(await rows().getByRole("heading").allTextContents()).toEqual([
      "album/2.jpg",
      "album/10.jpg",
      "album/more/1.jpg",
    ]);
    await rm(folder, { recursive: true });
  });

  test("on an empty desk the page's messages can be seen, and an emptied desk says so", async () => {
    await page.evaluate(() => {
      const dataTransfer = new DataTransfer();
      dataTransfer.setData("text/plain", "no address");
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    });
    await page.getByText("That was not a picture.").waitFor();
    await add(await files(1));
    await captioned("photo 0.jpg");
    expect(await page.getByText("That was not a picture.").count()).toBe(0);
    page.on("dialog", (dialog) => void dialog.accept());
    await page.getByRole("button", { name: "Empty the desk" }).click();
    await page.getByText("The desk is empty.", { exact: true }).waitFor();
  });

  /** By one script, which the page runs between two of its steps. */
  const clickAmidAdding = (selector: string) =>
    page.evaluate(
      (button) =>
        new Promise((resolve) => {
          new MutationObserver((_, observer) => {
            if (document.querySelectorAll("#rows > li").length < 40) return;
            observer.disconnect();
            document.querySelector<HTMLButtonElement>(button)?.click();
            resolve(true);
          }).observe(document.body, { childList: true, subtree: true });
        }),
      selector,
    );

  test("captioning that is stopped while files are added is stopped for all of them", async () => {
    await page.route("**/v1/captions/*", () => {});
    const given = await files(400);
    const isClicked = clickAmidAdding("#cancel");
    await add(given);
    await isClicked;
    await status().filter({ hasText: "0 of 400 decided, 400 failed." }).waitFor();
    expect(await rows().getByText("Stopped.").count()).toBe(400);
    await page.getByRole("button", { name: "Retry what failed" }).click();
    await row("photo 0.jpg").getByText("Being captioned").waitFor();
  });

  test("a desk that is emptied while files are added stays empty", async () => {
    await page.route("**/v1/captions/*", () => {});
    page.on("dialog", (dialog) => void dialog.accept());
    const given = await files(400);
    const isClicked = clickAmidAdding("#clear");
    await add(given);
    await isClicked;
    await page.getByText("The desk is empty.", { exact: true }).waitFor();
    await add([await file("after.jpg")]);
    await row("after.jpg").waitFor();
    expect(await rows().count()).toBe(1);
  });

  test("Enter that an input method uses accepts nothing, even if only its key code shows that", async () => {
    await add(await files(1));
    await captioned("photo 0.jpg");
    const press = (how: { isComposing?: boolean; keyCode?: number }) =>
      textOf("photo 0.jpg").evaluate(
        (text, { isComposing = false, keyCode = 13 }) =>
          text.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", isComposing, keyCode })),
        how,
      );
    await press({ isComposing: true });
    await press({ keyCode: 229 });
    expect(await row("photo 0.jpg").getByText("Accepted").count()).toBe(0);
    await press({});
    await row("photo 0.jpg").getByText("Accepted").waitFor();
  });

  test("a file that is gone before it is read says so, not that the service is away", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "desk-"));
    const gone = path.join(folder, "gone.jpg");
    await writeFile(gone, await jpegPicture(seed++));
    // The page learns of the choice when the file is gone.
    await page.evaluate(() => {
      window.addEventListener("change", (event) => event.stopImmediatePropagation(), {
        capture: true,
        once: true,
      });
    });
    await page.getByLabel("Picture files").setInputFiles(gone);
    await rm(folder, { recursive: true });
    await page.getByLabel("Picture files").dispatchEvent("change");
    await row("gone.jpg").getByText("The file cannot be read").waitFor();
  });

  test("text that a spreadsheet copies goes into the field that it is pasted into, though it brings a picture", async () => {
    await add(await files(1));
    await captioned("photo 0.jpg");
    await textOf("photo 0.jpg").focus();
    const isLeftAlone = await page.evaluate(() => {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text/plain", "From a cell");
      clipboardData.items.add(new File([new Uint8Array(1)], "image.png", { type: "image/png" }));
      const paste = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
      return document.activeElement?.dispatchEvent(paste);
    });
    expect(isLeftAlone).toBe(true);
    expect(await rows().count()).toBe(1);
  });

  test("Enter in a text that has been decided on changes nothing; after the last one the focus stays", async () => {
    await add(await files(1));
    await captioned("photo 0.jpg");
    const skip = row("photo 0.jpg").getByRole("button", { name: "Skip" });
    await skip.press("Enter");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("work-title");
    await textOf("photo 0.jpg").press("Enter");
    await row("photo 0.jpg").getByText("Skipped: not exported").waitFor();
  });

  test("another window that shows the same rows does not undo decisions", async () => {
    await add(await files(2));
    await captioned("photo 0.jpg");
    await captioned("photo 1.jpg");
    await textOf("photo 0.jpg").press("Enter");
    const other = await page.context().newPage();
    await other.clock.install();
    await other.goto(edge.url);
    await other.getByText("As you left it. 1 of 2 decided.").waitFor();
    await textOf("photo 1.jpg").press("Enter");
    await status().filter({ hasText: "2 of 2 decided." }).waitFor();
    await other.clock.runFor(1000);
    await other.close({ runBeforeUnload: true });
    await page.reload();
    await status().filter({ hasText: "As you left it. 2 of 2 decided." }).waitFor();
  });

  test("words that were typed the moment before a reload are kept, though the database takes none of them any more", async () => {
    await add(await files(1));
    await captioned("photo 0.jpg");
    for (const words of ["Typed", "Typed again", "And once more"]) {
      await page.evaluate(() => {
        IDBDatabase.prototype.transaction = () => {
          throw new DOMException("The page has ended", "InvalidStateError");
        };
      });
      await textOf("photo 0.jpg").fill(words);
      await page.reload();
      await status().filter({ hasText: "As you left it." }).waitFor();
      expect(await textOf("photo 0.jpg").inputValue()).toBe(words);
    }
  });

  test("text that a page left behind never replaces later words, and does not come back once it was removed", async () => {
    await add(await files(1));
    await captioned("photo 0.jpg");
    const other = await page.context().newPage();
    const there = other.getByLabel("Alt text of photo 0.jpg");
    const isKept = async () => {
      await other.goto(edge.url);
      return there.waitFor({ timeout: 1000 }).then(
        () => true,
        () => false,
      );
    };
    await expect.poll(isKept, { timeout: 20_000 }).toBe(true);
    await textOf("photo 0.jpg").fill("Typed at the last moment");
    await page.goto("about:blank");
    await expect.poll(() => there.inputValue()).toBe("Typed at the last moment");
    await there.fill("Typed later");
    await page.goto(edge.url);
    await expect.poll(() => textOf("photo 0.jpg").inputValue()).toBe("Typed later");
    await textOf("photo 0.jpg").fill("At the last moment again");
    await page.goto("about:blank");
    other.on("dialog", (dialog) => void dialog.accept());
    await other.getByRole("button", { name: "Empty the desk" }).click();
    await other.getByText("The desk is empty.").waitFor();
    await page.goto(edge.url);
    await page.locator("#examples").waitFor();
    expect(await page.locator("#work").isVisible()).toBe(false);
    expect(await page.evaluate(() => localStorage.length)).toBe(0);
  });

  test("two windows of one browser are one desk: older words are not written over newer ones, and what is removed stays away", async () => {
    await add(await files(2));
    await captioned("photo 0.jpg");
    await captioned("photo 1.jpg");
    await textOf("photo 1.jpg").press("Enter");
    const other = await page.context().newPage();
    await other.goto(edge.url);
    await other.getByText("As you left it. 1 of 2 decided.").waitFor();
    const there = other.getByLabel("Alt text of photo 0.jpg");
    await textOf("photo 0.jpg").fill("Written in the first window");
    await expect.poll(() => there.inputValue()).toBe("Written in the first window");
    await there.press("Enter");
    await status().filter({ hasText: "2 of 2 decided." }).waitFor();
    page.on("dialog", (dialog) => void dialog.accept());
    await page.getByRole("button", { name: "Empty the desk" }).click();
    await expect.poll(() => other.locator("#rows > li").count()).toBe(0);
    await other.reload();
    expect(await other.locator("#work").isVisible()).toBe(false);
  });

  test("words typed in one window stay when the caption comes to another, and the caption is not lost either", async () => {
    const isTyped = Promise.withResolvers<void>();
    await page.route("**/v1/captions", async (route) => {
      await isTyped.promise;
      await route.continue();
    });
    await add(await files(1));
    await row("photo 0.jpg").getByText("Being captioned").waitFor();
    const other = await page.context().newPage();
    await expect
      .poll(async () => {
        await other.goto(edge.url);
        return other.getByText("Add its file again").count();
      })
      .toBe(1);
    const there = other.getByLabel("Alt text of photo 0.jpg");
    await there.fill("Typed in the other window");
    isTyped.resolve();
    await captioned("photo 0.jpg");
    await other.getByText("The model said:").waitFor();
    expect(await there.inputValue()).toBe("Typed in the other window");
    await there.pressSequentially(", and more");
    await expect.poll(() => textOf("photo 0.jpg").inputValue()).toBe("Typed in the other window, and more");
    expect(await row("photo 0.jpg").textContent()).toMatch(/Unsure|fairly sure/);
    await page.reload();
    await captioned("photo 0.jpg");
    expect(await textOf("photo 0.jpg").inputValue()).toBe("Typed in the other window, and more");
  });

  test("what an older version of the page left is kept to the last letter, and what it still writes is heard", async () => {
    // It knew one time for the whole row.
    const older = {
      id: "row-1",
      name: "photo.jpg",
      state: { kind: "captioned", cached: false },
      needsReview: false,
      text: "Typed",
      decision: "open",
      changedAt: 1,
    };
    await page.evaluate(async (row) => {
      const open = indexedDB.open("alt-text-desk");
      await new Promise((resolve) => {
        open.onupgradeneeded = () => open.result.createObjectStore("rows");
        open.onsuccess = resolve;
      });
      const writing = open.result.transaction("rows", "readwrite");
      writing.objectStore("rows").put(row, row.id);
      await new Promise((resolve) => {
        writing.oncomplete = resolve;
      });
      const left = { ...row, changedAt: 2, text: "Typed to the last letter" };
      localStorage.setItem(`alt-text-desk:${row.id}`, JSON.stringify(left));
    }, older);
    await page.reload();
    await captioned("photo.jpg");
    expect(await textOf("photo.jpg").inputValue()).toBe("Typed to the last letter");
    await page.evaluate((row) => {
      const kept = [{ ...row, changedAt: Date.now(), text: "Typed in an older window" }];
      new BroadcastChannel("alt-text-desk").postMessage({ kept, removed: [] });
    }, older);
    await expect.poll(() => textOf("photo.jpg").inputValue()).toBe("Typed in an older window");
    // It noted no hash of a text that came before the caption, so another picture may have this name.
    await add([await file("photo.jpg")]);
    await expect.poll(() => rows().count()).toBe(2);
  });

  test("a caption stays when another window asks for the same one a little later", async () => {
    await add(await files(1));
    await captioned("photo 0.jpg");
    const caption = await textOf("photo 0.jpg").inputValue();
    await page.evaluate(() => {
      const id = document.querySelector("#rows > li")?.id;
      const captionAt = Date.now() + 1000;
      const asked = { id, name: "photo 0.jpg", needsReview: false, text: "", decision: "open", captionAt };
      const next = { ...asked, id: "row-z", name: "next.jpg", state: { kind: "captioned", cached: true } };
      const kept = [{ ...asked, state: { kind: "asking" } }, next];
      new BroadcastChannel("alt-text-desk").postMessage({ kept, removed: [] });
    });
    await row("next.jpg").waitFor();
    expect(await textOf("photo 0.jpg").inputValue()).toBe(caption);
    await page.reload();
    await captioned("photo 0.jpg");
    expect(await textOf("photo 0.jpg").inputValue()).toBe(caption);
  });

  test("what is added in one window comes up in another once it is captioned, and what was removed does not come back", async () => {
    const other = await page.context().newPage();
    await other.goto(edge.url);
    await other.locator("#examples").waitFor();
    await add(await files(3));
    for (let i = 0; i < 3; i++) {
      await other.getByLabel(`Alt text of photo ${i}.jpg`).waitFor();
      expect(await other.locator("#rows > li", { hasText: `photo ${i}.jpg` }).count()).toBe(1);
    }
    const emptied = Promise.withResolvers<void>();
    await page.route("**/v1/captions/*", async (route) => {
      await emptied.promise;
      await route.continue();
    });
    await add(await files(2, "late"));
    other.on("dialog", (dialog) => void dialog.accept());
    await other.getByRole("button", { name: "Empty the desk" }).click();
    await expect.poll(() => rows().count()).toBe(2);
    emptied.resolve();
    await captioned("late 0.jpg");
    await captioned("late 1.jpg");
    await other.getByLabel("Alt text of late 1.jpg").waitFor();
    await other.reload();
    await other.getByLabel("Alt text of late 1.jpg").waitFor();
    expect(await other.locator("#rows > li").count()).toBe(2);
  });

  test("a text for a picture that cannot be captioned is taken away with its hash; a strip has a thumbnail", async () => {
    const damaged = {
      name: "damaged.jpg",
      mimeType: "image/jpeg",
      buffer: Buffer.from("\xff\xd8\xff", "latin1"),
    };
    const strip = await sharp({ create: { width: 20, height: 6000, channels: 3, background: "red" } })
      .png()
      .toBuffer();
    await add([damaged, { name: "strip.png", mimeType: "image/png", buffer: strip }]);
    await row("damaged.jpg").getByText("The picture is damaged.").waitFor();
    // When captioning is done, which is said in place of what stands there.
    await captioned("strip.png");
    await textOf("damaged.jpg").fill("Mine");
    await page.keyboard.press("Enter");
    await status().filter({ hasText: "Accepted. 1 of 2 decided" }).waitFor();
    await page.getByLabel("As", { exact: true }).selectOption("json");
    const taken = async () => {
      await page.getByRole("button", { name: "Copy", exact: true }).last().click();
      return page.evaluate(() => navigator.clipboard.readText());
    };
    await expect.poll(taken).toContain(createHash("sha256").update(damaged.buffer).digest("hex"));
    await row("strip.png").locator("img[src^=blob]").waitFor();
  });

  test("the status never covers what has the focus, and a text begins on the side that it is read from", async () => {
    await page.setViewportSize({ width: 1000, height: 500 });
    await add(await files(4));
    for (let i = 0; i < 4; i++) await captioned(`photo ${i}.jpg`);
    await textOf("photo 3.jpg").fill("כלב רץ בחוף.");
    expect(await textOf("photo 3.jpg").evaluate((text) => getComputedStyle(text).direction)).toBe("rtl");
    await page.getByLabel("As", { exact: true }).focus();
    const hidden: string[] = [];
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press("Shift+Tab");
      const under = await page.evaluate(() => {
        const focused = document.activeElement;
        const box = focused?.getBoundingClientRect();
        const bar = document.querySelector(".status")?.getBoundingClientRect();
        if (focused === null || box === undefined || bar === undefined) return "";
        return box.height > 0 && bar.top < 1 && box.top >= bar.top && box.bottom <= bar.bottom
          ? `${focused.localName} ${focused.id}`
          : "";
      });
      if (under !== "") hidden.push(under);
    }
    expect(hidden).toEqual([]);
  });

  test("addresses come one per line; what is not an address stays, with a message beside the field", async () => {
    await page.getByLabel("Or their addresses").fill("http://127.0.0.1/secret.png\nnonsense");
    await page.getByRole("button", { name: "Add the addresses" }).click();
    await row("http://127.0.0.1/secret.png").getByText("only public web addresses are").waitFor();
    const field = page.getByLabel("Or their addresses");
    expect(await field.inputValue()).toBe("nonsense");
    expect(await field.getAttribute("aria-invalid")).toBe("true");
    const problem = page.getByText("each begins with https://");
    await problem.waitFor();
    expect(await rows().count()).toBe(1);
    await field.fill("");
    expect(await problem.isVisible()).toBe(false);
    expect(await field.getAttribute("aria-invalid")).toBe(null);
  });

  test("Enter in an option adds nothing and loses nothing", async () => {
    await add(await files(1));
    await captioned("photo 0.jpg");
    await page.getByText("Options", { exact: true }).click();
    await page.getByLabel("Longest alt text").fill("5");
    await page.keyboard.press("Enter");
    await page.getByLabel("Beams").focus();
    await page.getByText("Expected a whole number from 20 to 500.").waitFor();
    expect(await page.getByLabel("Longest alt text").getAttribute("aria-invalid")).toBe("true");
    expect(await rows().count()).toBe(1);
    expect(await page.locator("#urls-problem").isVisible()).toBe(false);
  });

  test("undo takes a decision back; other captions are offered and can be used", async () => {
    await add(await files(1));
    await captioned("photo 0.jpg");
    await row("photo 0.jpg").getByRole("button", { name: "Skip" }).click();
    await row("photo 0.jpg").getByText("Skipped").waitFor();
    await page.getByRole("button", { name: "Undo" }).click();
    await captioned("photo 0.jpg");
    await textOf("photo 0.jpg").fill("My own words");
    await row("photo 0.jpg").getByText("The model said:").waitFor();
    await row("photo 0.jpg").getByRole("button", { name: "Other captions" }).click();
    const use = row("photo 0.jpg")
      .getByRole("button", { name: /^Use: / })
      .first();
    await row("photo 0.jpg")
      .getByText(/^\d other captions?\.$/)
      .waitFor();
    expect(await status().textContent()).toMatch(/^\d other captions?\.$/);
    await use.click();
    expect(await textOf("photo 0.jpg").inputValue()).toMatch(/\d/);
  });

  test("undo never makes words accepted that have changed since they were", async () => {
    await add(await files(2));
    for (const i of [0, 1]) await captioned(`photo ${i}.jpg`);
    await textOf("photo 0.jpg").press("Enter");
    await textOf("photo 1.jpg").press("Enter");
    await row("photo 1.jpg").getByRole("button", { name: "Open again" }).click();
    await page.getByRole("button", { name: "Undo" }).click();
    await status().filter({ hasText: "Undone. 2 of 2 decided." }).waitFor();
    await row("photo 1.jpg").getByRole("button", { name: "Open again" }).click();
    await textOf("photo 1.jpg").fill("Not finis");
    await page.getByRole("button", { name: "Undo" }).click();
    await status().filter({ hasText: "Undone. 0 of 2 decided." }).waitFor();
    expect(await textOf("photo 1.jpg").inputValue()).toBe("Not finis");
    await page.getByRole("button", { name: "Undo" }).click();
    await status().filter({ hasText: "There is nothing to undo." }).waitFor();
  });

  test("another caption that is used can be taken back by Ctrl-Z, and is no longer offered once it is accepted", async () => {
    await add(await files(1));
    await captioned("photo 0.jpg");
    await textOf("photo 0.jpg").fill("My own words");
    await row("photo 0.jpg").getByRole("button", { name: "Other captions" }).click();
    const uses = row("photo 0.jpg").getByRole("button", { name: /^Use: / });
    await uses.first().click();
    const other = await textOf("photo 0.jpg").inputValue();
    expect(other).not.toBe("My own words");
    await page.keyboard.press("Control+z");
    expect(await textOf("photo 0.jpg").inputValue()).toBe("My own words");
    await uses.first().click();
    expect(await textOf("photo 0.jpg").inputValue()).toBe(other);
    await page.keyboard.press("Enter");
    await row("photo 0.jpg").getByText("Accepted").waitFor();
    expect(await uses.count()).toBe(0);
  });

  test("if other captions cannot be fetched, the row says why", async () => {
    await add(await files(1));
    await captioned("photo 0.jpg");
    const more = row("photo 0.jpg").getByRole("button", { name: "Other captions" });
    const answer = { status: 500, body: "<html>" };
    await page.route("**/v1/captions/*", (route) => route.fulfill(answer));
    await more.click();
    await row("photo 0.jpg").getByText("Something between here and the service answered with 500.").waitFor();
    await page.unrouteAll();
    await page.reload();
    await captioned("photo 0.jpg");
    await more.click();
    await row("photo 0.jpg").getByText("Add its file again to have other captions of it.").waitFor();
  });

  test("a link to a caption shows it without its picture; a curl line that works as it is", async () => {
    await add([await file("my photo.jpg")]);
    await captioned("my photo.jpg");
    await row("my photo.jpg").getByText("From a program").click();
    await row("my photo.jpg").getByRole("button", { name: "Copy the curl lines" }).click();
    await status().filter({ hasText: "The curl lines copied." }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(
      `curl --data-binary @'my photo.jpg' ${edge.url}/v1/captions`,
    );
    const link = await row("my photo.jpg")
      .getByRole("link", { name: "A link to this caption" })
      .getAttribute("href");
    const other = await (await browser.newContext()).newPage();
    await other.goto(`${edge.url}${link}`);
    await other.locator("#rows").getByText("It was captioned before.").waitFor();
    await other.context().close();
  });

  test("a link to a caption that does not exist brings one row, to which its file is added", async () => {
    const unseen = await file("unseen.jpg");
    const sha256 = await contentHash(new Uint8Array(unseen.buffer));
    await page.goto(`${edge.url}/#caption=${sha256}`);
    await page.reload();
    const name = `Picture ${sha256.slice(0, 12)}…`;
    await row(name).getByText("Add its file again to have it captioned").waitFor();
    await textOf(name).fill("Mine");
    await page.reload();
    await row(name).getByText("Add its file again to have it captioned").waitFor();
    expect(await rows().count()).toBe(1);
    await add([unseen]);
    await captioned(name);
    expect(await rows().count()).toBe(1);
    expect(await textOf(name).inputValue()).toBe("Mine");
    await page.reload();
    await captioned(name);
    await row(name).getByText("From a program").click();
    expect(await row(name).locator("pre").first().textContent()).toBe(
      `curl ${edge.url}/v1/captions/${sha256}`,
    );
  });

  test("a text stays with its picture if files of the same name come back in another order", async () => {
    const same = [await file("same.jpg"), await file("same.jpg")];
    const hashes = same.map(({ buffer }) => createHash("sha256").update(buffer).digest("hex"));
    await page.route("**/v1/captions/*", (route) => route.fulfill({ status: 500, body: "<html>" }));
    await add(same);
    await status().filter({ hasText: "Captioning is done. 0 of 2 decided, 2 failed." }).waitFor();
    for (const [i, hash] of hashes.entries()) await rows().nth(i).getByRole("textbox").fill(hash);
    await page.unrouteAll();
    await page.reload();
    await status().filter({ hasText: "As you left it." }).waitFor();
    await add(same.toReversed());
    await expect.poll(() => rows().getByText("The model said:").count()).toBe(2);
    for (const i of [0, 1]) await rows().nth(i).getByRole("button", { name: "Accept" }).click();
    await page.getByLabel("As", { exact: true }).selectOption("json");
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download" }).click(),
    ]);
    expect(JSON.parse(await readFile(await download.path(), "utf8"))).toMatchObject(
      hashes.map((sha256) => ({ alt: sha256, sha256 })),
    );
  });

  test("a link to a caption that was cut short adds nothing, and says what is wrong with it", async () => {
    await page.goto(`${edge.url}/#caption=${"0".repeat(63)}`);
    await page.reload();
    await page.getByText("This link to a caption is not complete.").waitFor();
    expect(await rows().count()).toBe(0);
  });

  test("pictures that fail by the dozen are not announced one by one", async () => {
    await page.route("**/v1/captions/*", (route) => route.fulfill({ status: 500, body: "<html>" }));
    const said = await record();
    await add(await files(100));
    await status().filter({ hasText: "Captioning is done. 0 of 100 decided, 100 failed." }).waitFor();
    expect((await said()).length).toBeLessThan(20);
    // The first may have failed before the last is there.
    expect(await said()).toContainEqual(expect.stringMatching(/^0 of 100 decided/));
  });

  test("captioning can be stopped and taken up again", async () => {
    backend.process.send("hold");
    await add(await files(6));
    await page.getByRole("button", { name: "Stop captioning" }).click();
    await page.getByText("0 of 6 decided, 6 failed.").waitFor();
    backend.process.send("release");
    await page.getByRole("button", { name: "Retry what failed" }).click();
    for (let i = 0; i < 6; i++) await captioned(`photo ${i}.jpg`);
  });

  test("if the service says when to come back, the desk waits, says so once, counts down, and goes on by itself", async () => {
    const refused: number[] = [];
    const answered: number[] = [];
    const front = await inFrontOf(edge, (response) => {
      if (refused.length === 6) answered.push(Date.now());
      else {
        refused.push(Date.now());
        const problem = { type: "urn:problem:overloaded", title: "x", status: 429, code: "overloaded" };
        response
          .writeHead(429, { "content-type": "application/problem+json", "retry-after": "2" })
          .end(JSON.stringify({ ...problem, detail: "x" }));
        return true;
      }
      return false;
    });
    await page.goto(front.url);
    const said = await record();
    const [paused, first] = [await record("#pause"), await record("#rows > li")];
    await add(await files(6));
    for (let i = 0; i < 6; i++) await captioned(`photo ${i}.jpg`);
    expect(await paused()).toEqual(
      expect.arrayContaining(["Goes on by itself in 2 s.", "Goes on by itself in 1 s."]),
    );
    const turns = (await first()).map((text) => /Being captioned|Waiting for its turn/.exec(text)?.[0]);
    expect(turns.slice(turns.indexOf("Being captioned"))).toContain("Waiting for its turn");
    expect(await page.locator("#pause").isVisible()).toBe(false);
    // Two of the four that were asked again were refused again.
    expect((answered[0] ?? 0) - (refused[0] ?? 0)).toBeGreaterThanOrEqual(2_000);
    const words = await said();
    expect(words.filter((sentence) => sentence.includes("Waiting for"))).toEqual([
      "The service is busy. Waiting for 2 seconds, then it continues by itself.",
    ]);
    expect(words.slice(-2)).toEqual([
      "Captioning continues. 0 of 6 decided.",
      "Captioning is done. 0 of 6 decided.",
    ]);
    expect(await page.getByRole("button", { name: "Stop captioning" }).isVisible()).toBe(false);
    front.close();
  });

  test("a wait can be stopped", async () => {
    const front = await inFrontOf(edge, (response) => {
      response.writeHead(503, { "retry-after": "200" }).end("<html>");
      return true;
    });
    await page.goto(front.url);
    await add(await files(2));
    await page
      .locator("#pause")
      .filter({ hasText: /Goes on by itself in \d+ s\./ })
      .waitFor();
    await page.getByRole("button", { name: "Stop captioning" }).click();
    await page.getByText("0 of 2 decided, 2 failed.").waitFor();
    expect(await page.locator("#pause").isVisible()).toBe(false);
    front.close();
  });

  test("the job of a link is followed to its end", async () => {
    const media = await startServer(async (request: IncomingMessage, response) => {
      response.end(await jpegPicture(Number(request.url?.slice(1))));
    });
    const own = await startEdge({
      BACKEND_URLS: backend.url,
      URL_ALLOWED_HOSTS: new URL(media.url).host,
    });
    const items = Array.from({ length: 3 }, (_, i) => ({ url: `${media.url}/${5_000 + i}` }));
    const made = await fetch(`${own.url}/v1/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ items }),
    });
    const { id } = (await made.json()) as { id: string };
    await page.goto(`${own.url}/#job=${id}`);
    await page.getByText("completed: 3 of 3 done.").waitFor({ timeout: 20_000 });
    expect(await page.getByRole("link", { name: "Results so far" }).getAttribute("href")).toContain(
      "format=csv",
    );
    await own.stop();
    media.close();
  });

  test("a linked job shows each picture, and tells screen readers only what becomes of the job", async () => {
    const problem = { type: "urn:problem:internal", status: 500, code: "internal" };
    const steps = [
      { status: "running", waiting: 3 },
      { status: "running", waiting: 2 },
      { status: "running", waiting: 1 },
      { status: "failed", waiting: 1, problem: { ...problem, title: "It broke", detail: "Start it anew." } },
    ];
    let asked = 0;
    const isLookedAt = Promise.withResolvers<void>();
    await page.route("**/v1/jobs/made-up", async (route) => {
      if (asked === steps.length - 1) await isLookedAt.promise;
      const { waiting, ...step } = steps[Math.min(asked++, steps.length - 1)] ?? { waiting: 0 };
      const counts = { total: 3, waiting, cached: 3 - waiting, generated: 0, failed: 0, cancelled: 0 };
      const now = new Date().toISOString();
      const times = { created_at: now, finished_at: asked < steps.length ? null : now, expires_at: now };
      const rest = { seconds_left: null, paused: null, problem: null, webhook: null };
      await route.fulfill({ json: { id: "made-up", counts, ...times, ...rest, ...step } });
    });
    await page.addInitScript(() => {
      const said: string[] = [];
      Object.assign(globalThis, { said });
      new MutationObserver(() => {
        const words = document.querySelector("#job [role=status]")?.textContent ?? "";
        if (words !== "" && words !== said.at(-1)) said.push(words);
      }).observe(document, { childList: true, subtree: true });
    });
    await page.goto("about:blank");
    await page.goto(`${edge.url}/#job=made-up`);
    await page.locator("#job-text", { hasText: "running: 2 of 3 done." }).waitFor();
    isLookedAt.resolve();
    await page.locator("#job-text", { hasText: "failed: 2 of 3 done. It broke. Start it anew." }).waitFor();
    expect(await page.evaluate(() => (globalThis as unknown as { said: string[] }).said)).toEqual([
      "Job running, 0 of 3 done.",
      "Job failed, 2 of 3 done. It broke. Start it anew.",
    ]);
  });

  test("a linked job is followed again by itself once the service is back", async () => {
    let isAway = false;
    await page.route("**/v1/jobs/made-up", async (route) => {
      if (isAway) return route.fulfill({ status: 502, body: "<html>" });
      const counts = { total: 3, waiting: 1, cached: 2, generated: 0, failed: 0, cancelled: 0 };
      const now = new Date().toISOString();
      const times = { created_at: now, finished_at: null, expires_at: now };
      const rest = { seconds_left: null, paused: null, problem: null, webhook: null };
      await route.fulfill({ json: { id: "made-up", status: "running", counts, ...times, ...rest } });
    });
    await page.goto(`${edge.url}/#job=made-up`);
    await page.reload();
    const text = page.locator("#job-text");
    await text.filter({ hasText: "running: 2 of 3 done." }).waitFor();
    isAway = true;
    await text.filter({ hasText: "The service could not be reached. It is asked again" }).waitFor();
    const said = await record("#job-said");
    isAway = false;
    await text.filter({ hasText: "running: 2 of 3 done." }).waitFor();
    expect(await said()).toEqual(["Job running, 2 of 3 done."]);
  });

  test("if a key is needed, a linked job asks for it and fetches its results with it", async () => {
    const keyed = await startEdge({ BACKEND_URLS: backend.url, ACCESS: "keys" });
    const { key } = JSON.parse((await keys(keyed, "create", "--name", "desk", "--json")).output);
    const made = await fetch(`${keyed.url}/v1/jobs`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${key}` },
      body: JSON.stringify({ items: [{ sha256: "0".repeat(64), id: "mine" }] }),
    });
    const { id } = (await made.json()) as { id: string };
    await page.goto(`${keyed.url}/#job=${id}`);
    await page.getByText("A valid API key is needed").waitFor();
    await page.getByLabel("API key").fill(key);
    await page.getByLabel("API key").press("Tab");
    await page.getByText("completed: 1 of 1 done, 1 failed.").waitFor({ timeout: 20_000 });
    const [saved] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Results so far" }).click(),
    ]);
    expect(saved.suggestedFilename()).toBe(`${id}.csv`);
    const text = await readFile(await saved.path(), "utf8");
    expect(readCsvTable(text)).toMatchObject([{ id: "mine", status: "error", problem: "not-captioned" }]);
    await keyed.stop();
  });

  test("a missing key is asked for, and what failed without it goes on once it is there", async () => {
    const keyed = await startEdge({ BACKEND_URLS: backend.url, ACCESS: "keys" });
    await page.goto(keyed.url);
    await add(await files(1));
    await row("photo 0.jpg").getByText("A valid API key is needed").waitFor();
    const field = page.getByLabel("API key");
    expect(await field.isVisible()).toBe(true);
    expect(await field.getAttribute("aria-invalid")).toBe("true");
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("key");
    // Letters that no header takes are no lost connection.
    await field.fill("ключ");
    await field.press("Tab");
    await expect.poll(() => field.getAttribute("aria-invalid")).toBe("true");
    await row("photo 0.jpg").getByText("A valid API key is needed").waitFor();
    await keyed.stop();
  });

  /** Each request without this key is refused. */
  const requireKey = (key: string) =>
    page.route("**/v1/captions**", async (route) => {
      if (route.request().headers().authorization === `Bearer ${key}`) return route.continue();
      const problem = { type: "urn:problem:unauthorized", title: "x", status: 401, detail: "x" };
      const contentType = "application/problem+json";
      const body = JSON.stringify({ ...problem, code: "unauthorized" });
      await route.fulfill({ status: 401, contentType, body });
    });

  test("a key is taken by Enter, too", async () => {
    await requireKey("good");
    await add(await files(1));
    await row("photo 0.jpg").getByText("A valid API key is needed").waitFor();
    await page.keyboard.type("good");
    await page.keyboard.press("Enter");
    await captioned("photo 0.jpg");
    expect(await page.getByLabel("API key").getAttribute("aria-invalid")).toBe(null);
  });

  test("a key that was refused is not tried again when its field is left, which would take the focus back", async () => {
    await requireKey("good");
    await add(await files(1));
    await row("photo 0.jpg").getByText("A valid API key is needed").waitFor();
    await page.keyboard.type("bad");
    const refused = page.waitForResponse((response) => response.status() === 401);
    await page.keyboard.press("Enter");
    await refused;
    const isInvalid = () => page.getByLabel("API key").getAttribute("aria-invalid");
    await expect.poll(isInvalid).toBe("true");
    let asked = 0;
    page.on("request", () => asked++);
    await textOf("photo 0.jpg").pressSequentially("Typed on");
    expect(await textOf("photo 0.jpg").inputValue()).toBe("Typed on");
    expect(await isInvalid()).toBe("true");
    expect(asked).toBe(0);
  });

  test("a key that is asked for does not take the focus from an option: what is typed stays in its field", async () => {
    await requireKey("good");
    await page.getByText("Options", { exact: true }).click();
    const prompt = page.getByLabel("Words to begin with");
    await prompt.pressSequentially("a photo");
    // Dropped, for to choose files takes the focus.
    await page.evaluate(() => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(["x"], "photo.jpg", { type: "image/jpeg" }));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
    });
    await row("photo.jpg").getByText("A valid API key is needed").waitFor();
    await page.keyboard.type(" of");
    expect(await prompt.inputValue()).toBe("a photo of");
    expect(await page.getByLabel("API key").inputValue()).toBe("");
  });

  test("a key that is revoked in the middle does not take the focus: what is typed stays in its text", async () => {
    await add(await files(1));
    await captioned("photo 0.jpg");
    await textOf("photo 0.jpg").fill("");
    await requireKey("good");
    await textOf("photo 0.jpg").pressSequentially("Typed before");
    await add([await file("late.jpg")]);
    await status().filter({ hasText: "A valid API key is needed: enter it under Options." }).waitFor();
    await page.keyboard.type(" and after");
    expect(await textOf("photo 0.jpg").inputValue()).toBe("Typed before and after");
    expect(await page.getByLabel("API key").inputValue()).toBe("");
  });

  test("addresses that are pasted are counted at once, and can be stopped", async () => {
    await page.route("**/v1/captions", () => {});
    await page.evaluate(() => {
      const clipboardData = new DataTransfer();
      clipboardData.setData("text/plain", "https://a.example/1.jpg\nhttps://a.example/2.jpg");
      document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
    });
    await status().filter({ hasText: "0 of 2 decided." }).waitFor();
    await page.getByRole("button", { name: "Stop captioning" }).click();
    await page.getByText("0 of 2 decided, 2 failed.").waitFor();
  });

  test("a long name without spaces scrolls nothing sideways on a narrow screen: a file's in the status, a job's", async () => {
    await page.setViewportSize({ width: 320, height: 256 });
    const name = `${"DSC_20240612_134500_".repeat(5)}.jpg`;
    await add([await file(name)]);
    await captioned(name);
    await row(name).getByRole("button", { name: /^Copy/ }).click();
    await status()
      .filter({ hasText: `Alt text of ${name} copied.` })
      .waitFor();
    expect(await sidewaysScroll(page)).toBe(0);
    await page.goto(`${edge.url}/#job=${"job_".repeat(20)}`);
    await page.getByText("There is no such job.").first().waitFor();
    expect(await sidewaysScroll(page)).toBe(0);
  });

  test.each(APPEARANCES)("axe finds nothing wrong in $name, and nothing scrolls sideways", async (look) => {
    await appearAs(page, look);
    await add([...(await files(3)), { name: "bad.jpg", mimeType: "image/jpeg", buffer: Buffer.from("x") }]);
    await captioned("photo 2.jpg");
    await row("photo 1.jpg").getByRole("button", { name: "Accept" }).click();
    await row("photo 2.jpg").getByText("From a program").click();
    await page.getByText("Options", { exact: true }).click();
    await page.getByText("Which text does a picture need?").click();
    expect(await axeViolations(page)).toEqual([]);
    expect(await sidewaysScroll(page)).toBe(0);
  });
});

/** A proxy of the worker: `refuse` may answer an upload in its place, and says whether it has. */
async function inFrontOf(
  edge: RunningEdge,
  refuse: (response: ServerResponse) => boolean,
): Promise<LocalServer> {
  return startServer(async (request, response) => {
    const body = await buffer(request);
    if (request.method === "POST" && refuse(response)) return;
    const init = request.method === "POST" ? { method: "POST", body } : {};
    const answer = await fetch(`${edge.url}${request.url}`, init);
    const type = answer.headers.get("content-type") ?? "";
    response.writeHead(answer.status, { "content-type": type }).end(Buffer.from(await answer.arrayBuffer()));
  });
}
