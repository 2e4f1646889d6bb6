/** `npm run site` on a site in a folder: the diff, writing, once more, and what cannot be described. */

import { execFile } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, onTestFinished, test } from "vitest";
import { contentHash } from "../../shared/content-hash.ts";
import { runCommand } from "../support/run-command.ts";
import { temporaryFolder } from "../support/tiny-blip.ts";

const CAT = fileURLToPath(new URL("../../examples/cat.jpg", import.meta.url));

/** A transparent line of 40 x 1 pixels. */
const SPACER = Buffer.from("R0lGODlhKAABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "base64");

const PAGES: Readonly<Record<string, string>> = {
  "index.html":
    '<!doctype html>\r\n<p><img src="/img/cat.jpg?v=2" width=9>\r\n<img src="img/cat.jpg" alt="">\r\n',
  "blog/post.md": "# Post\n\n![](../img/cat.jpg)\n\n![My own cat](../img/cat.jpg)\n",
  "described.html": '<img src="img/cat.jpg" alt="A cat that somebody described">\n',
};

async function newSite(more: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = await temporaryFolder();
  await mkdir(join(folder, "img"));
  await mkdir(join(folder, "blog"));
  await copyFile(CAT, join(folder, "img/cat.jpg"));
  for (const [name, text] of Object.entries({ ...PAGES, ...more })) await writeFile(join(folder, name), text);
  return folder;
}

const pagesOf = async (folder: string) =>
  Object.fromEntries(
    await Promise.all(
      Object.keys(PAGES).map(async (name) => [name, await readFile(join(folder, name), "utf8")]),
    ),
  );

/** The address of an API that knows the text of one picture, and wants a key for any other. */
async function startApi(sha256: string, alt: string): Promise<string> {
  const server = createServer((request, response) => {
    const isKnown = request.url?.includes(sha256);
    response.writeHead(isKnown ? 200 : 401, { "content-type": "application/json" });
    const model = { id: "m", revision: "r" };
    response.end(
      JSON.stringify(
        isKnown
          ? { sha256, caption: alt.toLowerCase(), alt, score: 0.5, needs_review: false, model, cached: true }
          : { type: "about:blank", title: "No key", status: 401, code: "unauthorized", detail: "No key." },
      ),
    );
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test("pictures of other hosts are fetched through the environment's proxy", async () => {
  const picture = await readFile(CAT);
  const proxy = createServer((_request, response) => void response.end(picture));
  proxy.on("connect", (_request, socket) => {
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    proxy.emit("connection", socket);
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  const folder = await temporaryFolder();
  await writeFile(join(folder, "index.html"), '<img src="http://pictures.test/cat.jpg">\n');
  const shown = await runCommand("site", [folder], {
    HTTP_PROXY: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    http_proxy: undefined,
    no_proxy: undefined,
    NO_PROXY: undefined,
  });
  expect(shown.stdout).toContain('+<img alt="A cat" src="http://pictures.test/cat.jpg">');
});

test("shows a patch and changes nothing; the patch gives what --write writes; a second run has nothing to do", async () => {
  const folder = await newSite();
  const copy = await newSite();
  const shown = await runCommand("site", [folder]);
  expect(shown).toMatchObject({ status: 0 });
  expect(shown.stderr).toContain(
    "2 texts to write (--write does it) in 2 of 3 pages; 0 to be reviewed, 0 failed.",
  );
  expect(await pagesOf(folder)).toEqual(PAGES);

  const report = join(folder, "report.csv");
  await runCommand("site", [folder, "--write", "--report", report]);
  expect(await pagesOf(folder)).toEqual({
    ...PAGES,
    "index.html": PAGES["index.html"]?.replace("<img src", '<img alt="A cat" src'),
    "blog/post.md": PAGES["blog/post.md"]?.replace("![]", "![A cat]"),
  });
  expect((await readFile(report, "utf8")).split("\r\n").slice(0, 3)).toEqual([
    "\uFEFFpage,line,picture,alt,score,needs_review,problem",
    expect.stringMatching(/^blog\/post\.md,3,\.\.\/img\/cat\.jpg,A cat,0\.3\d+,false,$/),
    expect.stringMatching(/^index\.html,2,\/img\/cat\.jpg\?v=2,A cat,0\.3\d+,false,$/),
  ]);

  const patch = join(copy, "texts.patch");
  await writeFile(patch, shown.stdout);
  await promisify(execFile)("git", ["apply", "--unsafe-paths", "--directory", copy, patch], { cwd: copy });
  expect(await pagesOf(copy)).toEqual(await pagesOf(folder));

  const again = await runCommand("site", [folder, "--write"]);
  expect(again).toMatchObject({ status: 0, stdout: "" });
});

test("a page that cannot be written whole stays as it was, with nothing beside it", async () => {
  const large = `<img src=img/cat.jpg>${"x".repeat(100_000)}`;
  const folder = await newSite({ "large.html": large });
  // Files of 8 KiB at most: as a full disk, where none can be had.
  const limited = ["-c", 'ulimit -f 8; exec "$0" commands/site.ts "$1" --write', process.execPath, folder];
  await expect(promisify(execFile)("bash", limited)).rejects.toMatchObject({ code: 1 });
  expect(await readFile(join(folder, "large.html"), "utf8")).toBe(large);
  expect((await readdir(folder)).sort()).toEqual([
    "blog",
    "described.html",
    "img",
    "index.html",
    "large.html",
  ]);
});

test("if the reader of the patch stops reading, --write does not end as if everything was written", async () => {
  // More than a pipe holds.
  const large = `<img src=img/cat.jpg>${"x".repeat(100_000)}\n`;
  const folder = await newSite({ "a.html": large, "b.html": large, "c.html": large });
  const command = 'set -o pipefail; "$0" commands/site.ts "$1" --write | head -c 1';
  const ended = promisify(execFile)("bash", ["-c", command, process.execPath, folder]);
  await expect(ended).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining("not every page is written. What is written stays"),
  });
});

test("a page or a folder whose name is not UTF-8 is named, and the others are processed", async () => {
  const folder = await newSite();
  const latin1 = (end: string) => Buffer.from(`${folder}/caf\xE9${end}`, "latin1");
  await mkdir(latin1(""));
  await writeFile(latin1(".html"), "<img src=img/cat.jpg>");
  const { stdout, stderr, status } = await runCommand("site", [folder]);
  expect(stdout).toContain("+++ b/index.html");
  expect(stderr).toContain(
    "caf\uFFFD: Its name is not UTF-8.\ncaf\uFFFD.html: Its name is not UTF-8.\n2 texts",
  );
  expect(status).toBe(1);
});

test("names what cannot be described, and describes the rest", async () => {
  const outside = join(await temporaryFolder(), "secret.jpg");
  await copyFile(CAT, outside);
  const folder = await newSite({
    "bad.html":
      '<img src="gone.jpg">\n<img src="../../etc/passwd">\n<img src="img/link.jpg">\n<img src="data:image/png;base64,AAAA">\n<img src="bad.html">\n<img src="img/spacer.gif">\n',
  });
  await writeFile(join(folder, "img/spacer.gif"), SPACER);
  await symlink(outside, join(folder, "img/link.jpg"));
  await writeFile(join(folder, "latin.html"), Buffer.from("<img src=img/cat.jpg>\xe4", "latin1"));
  const { status, stderr } = await runCommand("site", [folder]);
  expect(status).toBe(1);
  expect(stderr).toContain("bad.html: 1: gone.jpg: The file is not there.");
  expect(stderr).toContain("bad.html: 2: ../../etc/passwd: The file is outside the site's folder.");
  expect(stderr).toContain("bad.html: 3: img/link.jpg: The file is outside the site's folder.");
  expect(stderr).toContain(
    "bad.html: 4: data:image/png;base64,AAAA: Only files and http addresses are read.",
  );
  expect(stderr).toContain("bad.html: 5: bad.html: The bytes are not a picture of a known format.");
  expect(stderr).toContain(
    "bad.html: 6: img/spacer.gif: The picture has 40 x 1 pixels, too few to show anything",
  );
  expect(stderr).toContain("latin.html: The page is not UTF-8.");
  expect(stderr).toContain("2 texts to write (--write does it) in 2 of 5 pages; 0 to be reviewed, 7 failed.");
});

test("a picture is named with its own line, also where a parser moves it in front of the table that it is in", async () => {
  const folder = await temporaryFolder();
  const page = "<table><tr><td>\n<img src=one.jpg></td></tr>\n<img src=two.jpg></table>\n";
  await writeFile(join(folder, "index.html"), page);
  const { stderr } = await runCommand("site", [folder]);
  expect(stderr).toContain("index.html: 2: one.jpg: The file is not there.");
  expect(stderr).toContain("index.html: 3: two.jpg: The file is not there.");
});

test("pictures in MDX and in a site's template code are found; those that only its generator knows are named", async () => {
  const liquid =
    "![]({{ site.baseurl }}/img/cat.jpg)\n![]({{ '/img/cat.jpg' | relative_url }})\n![]({{ page.cover }})\n";
  const folder = await newSite({
    "a.mdx": 'import X from "x"\n\n<X>\n  ![](img/cat.jpg)\n</X>\n',
    "broken.mdx": "a\n<img src=x>\n",
    "liquid.md": liquid,
    "liquid-tag.md": 'Text <img src="{{ site.baseurl }}/img/cat.jpg"> text\n',
    "liquid.html": '<img src="{{ site.url }}{{ site.baseurl }}/img/cat.jpg">\n',
  });
  const { status, stderr } = await runCommand("site", [folder, "--write"]);
  expect(status).toBe(1);
  expect(stderr).toContain("broken.mdx: It is not valid MDX: line 2: Unexpected character `x`");
  expect(stderr).toContain("liquid.md: 3: {{ page.cover }}: Only the site's generator knows this address.");
  expect(stderr).toContain("7 texts written in 6 of 8 pages; 0 to be reviewed, 2 failed.");
  expect(await readFile(join(folder, "a.mdx"), "utf8")).toContain("![A cat](img/cat.jpg)");
  expect(await readFile(join(folder, "liquid.md"), "utf8")).toBe(
    liquid.replace("![]({{ site", "![A cat]({{ site").replace("![]({{ '/img", "![A cat]({{ '/img"),
  );
});

test("an address is read as a browser reads it: relative to the page's base, whatever its slashes and case", async () => {
  const folder = await newSite({
    "blog/based.html":
      '<base href="../img/"><base href="/">\n<img src="cat.jpg">\n<img src="/img/cat.jpg">\n',
    "blog/web.html": '<base href="http://127.0.0.1:9/x/y.html"><img src="cat.jpg">\n',
    "slashes.html": '<img src="img\\cat.jpg">\n<img src="HTTP://127.0.0.1:9/a.jpg">\n',
  });
  // What it would be without the base.
  await writeFile(join(folder, "blog/cat.jpg"), "no picture");
  const { stdout, stderr } = await runCommand("site", [folder]);
  expect(stdout).toContain('+<img alt="A cat" src="cat.jpg">\n+<img alt="A cat" src="/img/cat.jpg">\n');
  expect(stdout).toContain('+<img alt="A cat" src="img\\cat.jpg">');
  expect(stderr).toContain("blog/web.html: 1: cat.jpg: The address did not answer.");
  expect(stderr).toContain("slashes.html: 2: HTTP://127.0.0.1:9/a.jpg: The address did not answer.");
});

test("the patch of a page with a blank in its name says where the name ends, without which patch finds no such file", async () => {
  const folder = await newSite({ "my page.html": "<img src=img/cat.jpg>" });
  const { stdout } = await runCommand("site", [folder]);
  expect(stdout).toContain("--- a/my page.html\t\n+++ b/my page.html\t\n");
  expect(stdout).toContain("--- a/index.html\n");
});

describe("the report", () => {
  const ROW = /^blog\/post\.md,3,\.\.\/img\/cat\.jpg,A cat,/m;
  const countOf = (text: string) => text.split(/\r\n(?=.)/).length - 1;

  test("that cannot be written is noticed before a page is written", async () => {
    const folder = await newSite();
    const { status, stderr } = await runCommand("site", [
      folder,
      "--write",
      "--report",
      join(folder, "gone/a.csv"),
    ]);
    expect(status).toBe(1);
    expect(stderr).toContain("there is no such file or folder");
    expect(await pagesOf(folder)).toEqual(PAGES);
  });

  test("keeps what was written before: no later run finds it again", async () => {
    const folder = await newSite();
    const report = join(folder, "report.csv");
    const run = async (...more: string[]) => {
      await runCommand("site", [folder, "--report", report, ...more]);
      return readFile(report, "utf8");
    };
    const shown = await run();
    expect(await run("--write")).toBe(shown);
    await writeFile(join(folder, "new.html"), "<img src=img/cat.jpg>");
    const added = await run("--write");
    expect(added).toMatch(ROW);
    expect(added).toMatch(/^new\.html,1,img\/cat\.jpg,A cat,/m);
    expect(countOf(added)).toBe(3);
    expect(countOf(await run())).toBe(0);
  });

  test("has what was written until an error ended it", async () => {
    const folder = await newSite({ "other.html": "<img src=img/other.jpg>" });
    await writeFile(join(folder, "img/other.jpg"), "another picture");
    const sha256 = await contentHash(new Uint8Array(await readFile(CAT)));
    const url = await startApi(sha256, "A cat");
    const report = join(folder, "report.csv");
    const { status } = await runCommand("site", [folder, "--write", "--report", report, "--url", url]);
    expect(status).toBe(1);
    expect(await readFile(join(folder, "blog/post.md"), "utf8")).toContain("![A cat]");
    expect(await readFile(report, "utf8")).toMatch(ROW);
  });
});

test("an empty text is not written, because it would call the picture decorative", async () => {
  const folder = await newSite();
  const url = await startApi(await contentHash(new Uint8Array(await readFile(CAT))), "");
  const { status, stderr } = await runCommand("site", [folder, "--write", "--url", url]);
  expect(status).toBe(1);
  expect(stderr).toContain("index.html: 2: /img/cat.jpg?v=2: No text came back.");
  expect(await pagesOf(folder)).toEqual(PAGES);
});

test("a path that is not a folder is refused before anything is loaded", async () => {
  const { status, stderr } = await runCommand("site", [join(await temporaryFolder(), "none")]);
  expect(status).toBe(2);
  expect(stderr).toContain("expected the folder of a site");
});

test("an API that cannot be reached ends it, and nothing is written", async () => {
  const folder = await newSite();
  const { status, stderr } = await runCommand("site", [folder, "--write", "--url", "http://127.0.0.1:9"]);
  expect(status).toBe(1);
  expect(stderr).toContain("could not be reached");
  expect(await pagesOf(folder)).toEqual(PAGES);
});
