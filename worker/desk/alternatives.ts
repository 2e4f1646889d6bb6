/** Other captions of a picture, by other ways to search for words. */

import type { CaptionClient, CaptionQuery } from "../../client/index.ts";
import type { Picture } from "./captioning.ts";

const OTHER_WAYS = [{ num_beams: 3 }, { num_beams: 6 }, { prompt: "there is" }, { prompt: "a close up of" }];

/** Each wording once, in the order of the ways; a way that fails is left out. Throws where all of them fail. */
export async function otherCaptions(
  client: CaptionClient,
  picture: Picture,
  options: CaptionQuery,
): Promise<readonly string[]> {
  const asked = OTHER_WAYS.map(async (way) => {
    const call = { ...options, ...way };
    if ("file" in picture) return (await client.caption(picture.file, call)).alt;
    if ("url" in picture) return (await client.captionUrl(picture.url, call)).alt;
    return (await client.find(picture.sha256, call))?.alt;
  });
  const answers = await Promise.allSettled(asked);
  const [failed] = answers.filter(({ status }) => status === "rejected");
  const said = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  if (said.length === 0 && failed?.status === "rejected") throw failed.reason;
  return [...new Set(said.filter((alt) => alt !== undefined))];
}
