/** Other captions of a picture, found by other ways of searching for words. */

import type { CaptionClient, CaptionQuery } from "../../client/index.ts";
import { failureOf, type Picture } from "./captioning.ts";
import type { Row } from "./worklist.ts";

/** What a row offers instead of its text. */
export interface Offers {
  readonly offers: readonly string[];
  readonly whyNone: string;
}

const MOST_OFFERS = 3;
const OTHER_WAYS = [{ num_beams: 3 }, { num_beams: 6 }, { prompt: "there is" }, { prompt: "a close up of" }];

/** Other captions to offer; the model's own words come first if a person has changed them. */
export async function offersFor(
  row: Pick<Row, "original" | "text">,
  picture: Picture,
  ask: { readonly client: CaptionClient; readonly options: CaptionQuery },
): Promise<Offers> {
  let whyNone =
    "sha256" in picture
      ? "Add its file again to have other captions of it."
      : "The model has no other caption of it.";
  const others = await otherCaptions(ask.client, picture, ask.options).catch((error) => {
    whyNone = failureOf(error).reason;
    return [];
  });
  const offers = [...new Set([row.original ?? "", ...others])]
    .filter((alt) => alt !== row.text && alt !== "")
    .slice(0, MOST_OFFERS);
  return { offers, whyNone };
}

/** Each wording once, in the order of the ways; a way that fails is left out. Throws if all of them fail. */
async function otherCaptions(
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
