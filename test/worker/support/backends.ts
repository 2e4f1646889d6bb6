/** Captioners and picture servers of a test, behind the global `fetch`. They speak the backend protocol and count. */

import { vi } from "vitest";
import { encodeModelId } from "../../../shared/backend-protocol.ts";
import type { ScoreWeights } from "../../../shared/schema.ts";

export interface FakeBackend {
  id: string;
  revision: string;
  caption: string;
  score: string | undefined;
  /** What its picture head says; undefined where it has none. */
  pictureScore?: string;
  /** The review threshold of its model; null for one that nobody calibrated. */
  reviewBelow: number | null;
  /** How its model's scores are made; null for its probability alone. */
  scoreWeights: ScoreWeights | null;
  /** Replaces the answer to a caption request. */
  answer: ((request: Request) => Response | Promise<Response>) | undefined;
  /** Refuses connections. */
  dead: boolean;
  /** Takes nobody for its worker on the routes that its secret guards. */
  refusesSecret: boolean;
  /** Caption requests received. */
  readonly requests: Request[];
}

export interface FakeNetwork {
  backend(host: string): FakeBackend;
  /** Answers of other hosts, by URL. */
  readonly pages: Map<string, () => Response | Promise<Response>>;
}

/** Takes over `fetch` until `vi.restoreAllMocks()`. What is not known is refused like a dead host. */
export function fakeNetwork(): FakeNetwork {
  const backends = new Map<string, FakeBackend>();
  const pages = new Map<string, () => Response | Promise<Response>>();
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input as string | Request, init as RequestInit);
    const page = pages.get(request.url);
    if (page !== undefined) return page();
    const backend = backends.get(new URL(request.url).host);
    if (backend === undefined || backend.dead) throw new TypeError("connection refused");
    return answerOf(backend, request);
  });
  return {
    pages,
    backend(host) {
      const known = backends.get(host);
      if (known !== undefined) return known;
      const backend: FakeBackend = {
        id: "tiny/blip",
        revision: "r1",
        caption: "a dog runs on the beach",
        score: "0.71",
        reviewBelow: 0.7,
        scoreWeights: null,
        answer: undefined,
        dead: false,
        refusesSecret: false,
        requests: [],
      };
      backends.set(host, backend);
      return backend;
    },
  };
}

async function answerOf(backend: FakeBackend, request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (pathname === "/readyz") return Response.json({ status: "ready" });
  if (backend.refusesSecret) return new Response("{}", { status: 401 });
  if (pathname === "/v1/model") return Response.json(modelOf(backend));
  backend.requests.push(request);
  if (backend.answer !== undefined) return backend.answer(request);
  return Response.json([{ generated_text: backend.caption }], {
    headers: {
      "x-model-id": encodeModelId(backend.id),
      "x-model-revision": backend.revision,
      ...(backend.score === undefined ? {} : { "x-caption-score": backend.score }),
      ...(backend.pictureScore === undefined ? {} : { "x-picture-score": backend.pictureScore }),
    },
  });
}

function modelOf({ id, revision, reviewBelow, scoreWeights }: FakeBackend) {
  return {
    id,
    revision,
    image_size: 224,
    dtype: "fp32",
    limits: { max_image_bytes: 1, max_image_pixels: 1, max_new_tokens: 50, max_num_beams: 8 },
    defaults: { max_new_tokens: 20, num_beams: 1 },
    review:
      reviewBelow === null
        ? null
        : {
            below: reviewBelow,
            measured_on: "test",
            pictures: 200,
            flagged_share: 0.5,
            quality_above: 0.5,
            weights: scoreWeights,
          },
  };
}
