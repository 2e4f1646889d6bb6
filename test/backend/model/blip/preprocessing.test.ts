import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readPreprocessing } from "../../../../backend/model/blip/preprocessing.ts";
import { WeightError } from "../../../../backend/model/weights/weights.ts";
import { temporaryFolder } from "../../../support/tiny-blip.ts";

async function read(files: Record<string, unknown>) {
  const folder = await temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    await writeFile(join(folder, name), typeof content === "string" ? content : JSON.stringify(content));
  }
  return readPreprocessing(folder);
}

const own = (settings: object) => read({ "preprocessor_config.json": settings });
const SETTINGS = { size: { height: 32, width: 32 }, image_mean: [0.5, 0.5, 0.5], image_std: [0.2, 0.2, 0.2] };
const PREPARED = { size: 32, mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2], resampling: "bicubic" };

describe("readPreprocessing", () => {
  test("reads what transformers 4 and 5 write, alone or together", async () => {
    expect(await own(SETTINGS)).toEqual(PREPARED);
    const whole = { processor_class: "BlipProcessor", image_processor: SETTINGS };
    expect(await read({ "processor_config.json": whole })).toEqual(PREPARED);
    expect(await read({ "preprocessor_config.json": SETTINGS, "processor_config.json": whole })).toEqual(
      PREPARED,
    );
    const version4 = { processor_class: "BlipProcessor" };
    expect(await read({ "preprocessor_config.json": SETTINGS, "processor_config.json": version4 })).toEqual(
      PREPARED,
    );
  });

  test("two files that differ are refused", async () => {
    const whole = { image_processor: { ...SETTINGS, image_mean: [0, 0, 0] } };
    const reading = read({ "preprocessor_config.json": SETTINGS, "processor_config.json": whole });
    await expect(reading).rejects.toThrow(/prepare pictures differently/);
  });

  test.each([
    [{ do_normalize: false }, (byte: number) => byte / 255],
    [{ do_normalize: false, do_rescale: false }, (byte: number) => byte],
    [{ do_rescale: false }, (byte: number) => (byte - 0.5) / 0.2],
    [{ rescale_factor: 1 / 128 }, (byte: number) => (byte / 128 - 0.5) / 0.2],
    [{ rescale_factor: 0.00392156862745098 }, (byte: number) => (byte / 255 - 0.5) / 0.2],
  ])("%o is honoured", async (settings, expected) => {
    const { mean, std } = await own({ ...SETTINGS, ...settings });
    for (const byte of [0, 100, 255]) {
      expect((byte / 255 - mean[0]) / std[0]).toBeCloseTo(expected(byte), 5);
    }
  });

  test.each([
    [{ do_resize: false }, /do_resize: false/],
    [{ do_center_crop: true, crop_size: 32 }, /do_center_crop/],
    [{ do_pad: true }, /do_pad/],
    [{ resample: 4 }, /filter 4 \(box\)/],
    [{ resample: 5 }, /filter 5 \(hamming\)/],
    [{ size: { shortest_edge: 32 } }, /size/],
    [{ size: { height: 32, width: 64 } }, /64x32/],
    [{ image_processor_type: "CLIPImageProcessor" }, /CLIPImageProcessor/],
    [{ image_std: [0, 1, 1] }, /image_std/],
  ])("refuses %o by name", async (settings, message) => {
    await expect(own({ ...SETTINGS, ...settings })).rejects.toThrow(message);
  });

  test("a damaged or missing file is named; a byte order mark is ignored", async () => {
    await expect(own({})).resolves.toMatchObject({ size: 384, resampling: "bicubic" });
    await expect(read({ "preprocessor_config.json": '{"size": 32,' })).rejects.toThrow(
      /preprocessor_config\.json is damaged or cut short/,
    );
    await expect(read({})).rejects.toThrow(WeightError);
    expect(await read({ "preprocessor_config.json": `\uFEFF${JSON.stringify(SETTINGS)}` })).toEqual(PREPARED);
  });
});
