/** Pictures made here. */

import sharp from "sharp";

/** A picture that nobody has sent before. */
export async function picture(width = 64, format: "png" | "jpeg" = "png"): Promise<Buffer> {
  const noise = { type: "gaussian", mean: 128, sigma: 40 } as const;
  return sharp({ create: { width, height: 48, channels: 3, background: "#888", noise } })
    .toFormat(format)
    .toBuffer();
}
