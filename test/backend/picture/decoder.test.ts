import { execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import sharp from "sharp";
import { expect, onTestFinished, test, vi } from "vitest";
import { decodePicture } from "../../../backend/picture/decode.ts";
import { type Decoder, startDecoder } from "../../../backend/picture/decoder.ts";
import { type InspectedPicture, inspectPicture } from "../../../backend/picture/inspect.ts";
import type { PictureLimits } from "../../../backend/picture/limits.ts";
import { createPixelMemory } from "../../../backend/picture/pixel-memory.ts";
import * as sharedFile from "../../../backend/picture/shared-file.ts";
import { scanBomb, textBomb } from "../../support/bombs.ts";
import { jpegPicture } from "../../support/pictures.ts";
import { noisePicture } from "../../support/reference.ts";

const settings = {
  format: { size: 16, filter: "bicubic" },
  limits: { maxPixels: 200_000_000, maxDecodeBytes: 2 ** 32, decodeTimeoutSeconds: 10 },
} as const;

const memory = createPixelMemory(settings.format, { most: 1 });

function start(limits: Partial<PictureLimits> = {}) {
  const decoder = startDecoder({ ...settings, limits: { ...settings.limits, ...limits }, memory });
  onTestFinished(() => decoder.end());
  return decoder;
}

function inspected(bytes: Uint8Array<ArrayBuffer>): InspectedPicture {
  const picture = inspectPicture(bytes, settings.limits);
  if (!picture.ok) throw new Error(picture.failure.code);
  return picture.value;
}

/** Of more bytes than are shared. */
async function largePicture(): Promise<Uint8Array<ArrayBuffer>> {
  const { data, width, height } = noisePicture(800, 600);
  const raw = { width, height, channels: 3 } as const;
  return Uint8Array.from(await sharp(data, { raw }).png().toBuffer());
}

async function expectSameAsHere(decoder: Decoder) {
  const whole = await jpegPicture(77);
  const large = await largePicture();
  expect(inspected(large).bytes.length).toBeGreaterThan(2 ** 20);
  for (const bytes of [whole, whole.slice(0, -10), large, whole]) {
    const picture = inspected(bytes);
    expect(await decoder.decode(picture)).toEqual(
      await decodePicture(picture, settings.format, settings.limits),
    );
  }
  expect(decoder.isFit).toBe(true);
}

test("gives what decodePicture gives for small files, large files and failures, again and again", () =>
  expectSameAsHere(start()));

test("also if no file can be shared with it", async () => {
  const open = vi.spyOn(sharedFile, "openSharedFile").mockReturnValue(undefined);
  onTestFinished(() => open.mockRestore());
  await expectSameAsHere(start());
});

test.runIf(existsSync("/dev/shm"))("pixels lie in the memory it was given", async () => {
  const decoder = start();
  const pixels = new Uint8Array(3 * 16 * 16);
  memory.giveBack(pixels);
  const decoded = await decoder.decode(inspected(await jpegPicture(77)));
  expect(decoded).toMatchObject({ ok: true });
  expect(decoded !== "ended" && "ok" in decoded && decoded.ok && decoded.value).toBe(pixels);
});

test("a picture that takes far more memory than its pixels need ends its decoder, by name", async () => {
  const decoder = start();
  // As if no scanner had known of compressed text.
  const bomb = { ...inspected(await jpegPicture(1)), bytes: textBomb(), width: 12, height: 12 };
  expect(await decoder.decode(bomb)).toMatchObject({ ok: false, failure: { code: "too-costly" } });
  expect(decoder.isFit).toBe(false);
});

test("a picture that takes too much of the processor ends its decoder, by name", async () => {
  const decoder = start({ decodeTimeoutSeconds: 1 });
  // As if no scanner had counted.
  const bytes = await scanBomb({ size: 4_000, scans: 3_000 });
  const slow = {
    ...inspected(await jpegPicture(1)),
    bytes,
    width: 4_000,
    height: 4_000,
    decodeBytes: 2 ** 28,
  };
  expect(await decoder.decode(slow)).toMatchObject({ ok: false, failure: { code: "decode-timeout" } });
  expect(decoder.isFit).toBe(false);
});

test("a decoder that was ended says so, and takes no more", async () => {
  const decoder = start();
  const decoding = decoder.decode(inspected(await jpegPicture(1)));
  decoder.end();
  expect(await decoding).toBe("ended");
  expect(await decoder.decode(inspected(await jpegPicture(2)))).toBe("ended");
  expect(decoder.isFit).toBe(false);
});

/** Processes of decoders that this one started. */
function decoderPids(): number[] {
  const said = execFileSync("ps", ["--ppid", String(process.pid), "-o", "pid=,args="], { encoding: "utf8" });
  return said
    .split("\n")
    .filter((line) => line.includes("decoder-process.ts"))
    .map((line) => Number.parseInt(line, 10));
}

test.each(["in the middle of a picture", "while it waits for one"])(
  "one that somebody else kills %s is lost, which need not be the picture's fault",
  async (when) => {
    const decoder = start();
    const slow = inspected(await scanBomb({ size: 2_000, scans: 90 }));
    await decoder.decode(inspected(await jpegPicture(1)));
    const decoding = when.startsWith("in") ? decoder.decode(slow) : undefined;
    for (const pid of decoderPids()) process.kill(pid, "SIGKILL");
    const reason = "the decoder process ended with SIGKILL";
    expect(await (decoding ?? decoder.decode(slow))).toMatchObject({
      lost: { ok: false, failure: { code: "too-costly", reason } },
    });
    expect(decoder.isFit).toBe(false);
  },
);

test.runIf(existsSync("/proc/self/oom_score_adj"))(
  "a machine or container out of memory ends a decoder before the server",
  async () => {
    const decoder = start();
    await decoder.decode(inspected(await jpegPicture(1)));
    const scores = decoderPids().map((pid) => readFileSync(`/proc/${pid}/oom_score_adj`, "utf8").trim());
    expect(scores).toEqual(["1000"]);
  },
);

test("a stopped decoder is lost once its time is over", async () => {
  const decoder = start({ decodeTimeoutSeconds: 1 });
  await decoder.decode(inspected(await jpegPicture(1)));
  for (const pid of decoderPids()) process.kill(pid, "SIGSTOP");
  const reason = { lost: { ok: false, failure: { code: "decode-timeout" } } };
  expect(await decoder.decode(inspected(await jpegPicture(2)))).toMatchObject(reason);
  expect(decoder.isFit).toBe(false);
});

test("if no more files may be opened it is unfit and says why, and ending it ends nobody else", async () => {
  // Node would send the signal of a child that could not start to whatever process id lies in memory, 0 among them: its own group.
  const script = `
    import { ChildProcess } from "node:child_process";
    import { closeSync, openSync } from "node:fs";
    import { startDecoder } from ${JSON.stringify(new URL("../../../backend/picture/decoder.ts", import.meta.url))};
    const files = [];
    try {
      for (;;) files.push(openSync("/dev/null"));
    } catch {}
    const settings = { ...${JSON.stringify(settings)}, memory: { take: () => new Uint8Array(3 * 16 * 16) } };
    const decoder = startDecoder(settings);
    console.log(decoder.isFit);
    await decoder.decode({}).catch(({ failure }) => console.log(failure.code, failure.reason));
    const { kill } = ChildProcess.prototype;
    ChildProcess.prototype.kill = () => console.log("a signal to nobody knows whom");
    decoder.end();
    ChildProcess.prototype.kill = kill;
    for (const file of files) closeSync(file);
    const next = startDecoder(settings);
    console.log(next.isFit);
    next.end();`;
  const limited = 'ulimit -n 64 && exec "$0" --input-type=module --eval "$1"';
  const said = execFileSync("sh", ["-c", limited, process.execPath, script], { encoding: "utf8" });
  expect(said).toMatch(/^false\nunavailable no decoder process can be started.*open files.*\ntrue\n$/);
});

test("a bug in it is thrown here", async () => {
  const decoder = startDecoder({ ...settings, format: { size: -1, filter: "bicubic" }, memory });
  onTestFinished(() => decoder.end());
  await expect(decoder.decode(inspected(await jpegPicture(1)))).rejects.toThrow("length");
});

test("the process gets nothing of the server's environment", async () => {
  process.env.BACKEND_SECRET = "a secret of the server's own";
  onTestFinished(() => void delete process.env.BACKEND_SECRET);
  const decoder = start();
  await decoder.decode(inspected(await jpegPicture(1)));
  const children = execFileSync("ps", ["eww", "--ppid", String(process.pid), "-o", "args="], {
    encoding: "utf8",
  });
  const decoders = children.split("\n").filter((line) => line.includes("decoder-process.ts"));
  expect(decoders.length).toBeGreaterThan(0);
  expect(decoders.join()).not.toContain("a secret of the server's own");
});

test("a server that is gone before a decoder answers ends it without a word", async () => {
  const child = fork(new URL("../../../backend/picture/decoder-process.ts", import.meta.url), {
    serialization: "advanced",
    execArgv: [],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const said = text(child.stderr ?? process.stdin);
  const exited = once(child, "exit");
  child.send(settings);
  child.disconnect();
  expect(await exited).toEqual([0, null]);
  expect(await said).toBe("");
});
