/** Other captions of a picture, by other ways to search for words. */

import type { CaptionClient, CaptionQuery } from "../../client/index.ts";
import type { Picture } from "./captioning.ts";

const OTHER_WAYS = [{ num_beams: 3 }, { num_beams: 6 }, { prompt: "there is" }, { prompt: "a close up of" }];

/** Each wording once, in the order of the ways; a way that fails is left out. */
export async function otherCaptions(
  client: CaptionClient,
  picture: Picture,
  options: CaptionQuery,
): Promise<readonly string[]> {
  const asked = OTHER_WAYS.map(async (way) => {
    const call = { ...options, ...way };
    try {
      if ("file" in picture) return (await client.caption(picture.file, call)).alt;
      if ("url" in picture) return (await client.captionUrl(picture.url, call)).alt;
      return (await client.find(picture.sha256, call))?.alt;
    } catch {
      return undefined;
    }
  });
  const said = (await Promise.all(asked)).filter((alt) => alt !== undefined);
  return [...new Set(said)];
}
