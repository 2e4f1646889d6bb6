import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, truncate, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { MAX_IMAGE_BYTES } from "../../shared/limits.ts";
import { fetchPicture, readSiteFile, sourceOf } from "../../site/pictures.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

/** There both names are the file's. */
const readsOver = existsSync(import.meta.filename.toUpperCase());

test.skipIf(readsOver)("a missing file with a similar name beside it: that name is given", async () => {
  const folder = await temporaryFolder();
  await writeFile(join(folder, "Photo.JPG"), "picture");
  await writeFile(join(folder, "caf\u00e9.jpg".normalize("NFD")), "picture");
  const refusal = (name: string) => readSiteFile(folder, join(folder, name)).catch(({ message }) => message);
  expect(await refusal("photo.jpg")).toContain("it is called Photo.JPG");
  expect(await refusal("caf\u00e9.jpg")).toContain("its accents are encoded differently");
  expect(await refusal("gone.jpg")).toBe("The file is not there.");
  expect(await refusal("Photo.JPG/a.jpg")).toBe("The file is not there.");
});

test("a base as long as a page is read once, not again from each of its letters", () => {
  const base = `${"a".repeat(1_000_000)}/`;
  expect(sourceOf("/site", "page.html", { source: "cat.jpg", base })).toEqual({
    kind: "file",
    path: `/site/${base}cat.jpg`,
  });
});

test("only files are opened, because opening a pipe would never end; nor is a file opened that is too large for a picture", async () => {
  const folder = await temporaryFolder();
  await mkdir(join(folder, "folder.jpg"));
  await writeFile(join(folder, "large.jpg"), "");
  await truncate(join(folder, "large.jpg"), MAX_IMAGE_BYTES + 1);
  await expect(readSiteFile(folder, join(folder, "folder.jpg"))).rejects.toThrow("It is not a file.");
  await expect(readSiteFile(folder, join(folder, "large.jpg"))).rejects.toThrow(
    "The picture has too many bytes.",
  );
});

test("a folder beside the site's whose name begins alike is outside", async () => {
  const folder = join(await temporaryFolder(), "site");
  const beside = `${folder}-drafts`;
  await mkdir(folder);
  await mkdir(beside);
  await writeFile(join(beside, "a.jpg"), "picture");
  const outside = "The file is outside the site's folder.";
  expect(() => sourceOf(folder, "index.html", { source: "../site-drafts/a.jpg" })).toThrow(outside);
  await expect(readSiteFile(folder, join(beside, "a.jpg"))).rejects.toThrow(outside);
});

async function addressOf(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/cat.jpg`;
}

test("the picture of an error page is not the page's picture", async () => {
  const address = await addressOf((_request, response) => void response.writeHead(404).end("picture"));
  await expect(fetchPicture(address)).rejects.toThrow("The address answered with status 404.");
});

test("an address that never stops answering is cut off by size", async () => {
  const chunk = Buffer.alloc(1024 * 1024);
  const address = await addressOf((_request, response) => {
    const more = () => response.write(chunk, (error) => error || more());
    more();
  });
  await expect(fetchPicture(address)).rejects.toThrow("The picture has too many bytes.");
});
