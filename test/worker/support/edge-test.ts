/** What tests of the edge share: a network of fake captioners, uploads, and problems. */

import { env } from "cloudflare:workers";
import { afterEach, beforeEach, vi } from "vitest";
import { Problem } from "../../../shared/problem.ts";
import { type FakeNetwork, fakeNetwork } from "./backends.ts";

/** A network of its own for each test, and a world that has not heard of a model: that outlives an isolate. */
export function useFakeNetwork(): () => FakeNetwork {
  let network: FakeNetwork;
  beforeEach(async () => {
    network = fakeNetwork();
    await env.CAPTIONS.delete("model");
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });
  return () => network;
}

export const post = (picture: Uint8Array<ArrayBuffer>): RequestInit => ({ method: "POST", body: picture });

/** The text of a body of any type; workerd warns of reading one that is not called text. */
export const textOf = (response: Response) => new Response(response.body).text();

export const problemOf = async (response: Response) => Problem.parse(await response.json());
