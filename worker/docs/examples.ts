/** Examples of the OpenAPI document: requests, and what the embedded model answers to examples/cat.jpg and examples/rocket.jpg. */

import type { Job, JobItem, JobLine, JobRequest } from "../../shared/jobs.ts";
import { ACCEPTED_FORMATS } from "../../shared/picture-format.ts";
import { type Problem, type ProblemCode, toProblem } from "../../shared/problem.ts";
import type {
  BatchLine,
  Caption,
  CaptionJsonRequest,
  ImageToTextOutput,
  ImageToTextRequest,
} from "../../shared/schema.ts";

type Examples<Value> = Readonly<Record<string, { readonly summary: string; readonly value: Value }>>;

export const EXAMPLE_SHA256 = "0258339869651fd8749bd50ed68e867a5aa3077943632a534b906e392cc0b9dc";
export const EXAMPLE_JOB_ID = "job_32fa3559a37b7144bfeefb0050c72881";
export const EXAMPLE_MODEL = "hybrid-small/lora";

const MODEL = { id: EXAMPLE_MODEL, revision: "f9acafcfdc7093dd" };
const CAT: Caption = {
  sha256: EXAMPLE_SHA256,
  caption: "a cat",
  alt: "A cat",
  score: 0.379999,
  needs_review: false,
  model: MODEL,
  cached: false,
};
const NOT_AN_IMAGE = `The bytes are not a picture of a known format. Accepted: ${ACCEPTED_FORMATS}.`;
/** Eight bytes of a PNG, enough to show where the base64 goes. */
const BASE64 = "iVBORw0KGgo=";
const URL_OF_A_PICTURE = "https://example.org/photo.jpg";

export const CAPTION_REQUESTS = {
  address: { summary: "The address of a picture", value: { url: URL_OF_A_PICTURE } },
  base64: { summary: "A picture as base64, with options", value: { image: BASE64, num_beams: 3 } },
} as const satisfies Examples<CaptionJsonRequest>;

export const NEW_CAPTION = {
  generated: { summary: "A picture that nobody has sent before", value: CAT },
} as const satisfies Examples<Caption>;

export const KNOWN_CAPTION = {
  cached: { summary: "A picture that was captioned before", value: { ...CAT, cached: true } },
} as const satisfies Examples<Caption>;

export const BATCH_REQUEST = {
  three: {
    summary: "By hash, by address, as base64",
    value: {
      items: [
        { sha256: EXAMPLE_SHA256, metadata: { id: 7 } },
        { url: URL_OF_A_PICTURE },
        { image: "bm90IGEgcGljdHVyZQ==" },
      ],
    },
  },
} as const;

export const BATCH_LINES = {
  failed: {
    summary: "An item that failed",
    value: {
      index: 2,
      status: "error",
      problem: problem("not-an-image", NOT_AN_IMAGE),
    },
  },
  cached: {
    summary: "An item that was captioned before",
    value: { index: 0, metadata: { id: 7 }, ...CAT, cached: true, status: "cached" },
  },
  generated: {
    summary: "A new caption",
    value: {
      index: 1,
      sha256: "d3ec9965661e98c92a56ae623086b3121c5894021934aaf8a0df354af54cc7b2",
      caption: "a close up of a fire",
      alt: "A close up of a fire",
      score: 0.091942,
      needs_review: true,
      model: MODEL,
      cached: false,
      status: "generated",
    },
  },
} as const satisfies Examples<BatchLine>;

const JOB_ITEMS = [
  { id: "a", sha256: EXAMPLE_SHA256 },
  { id: "b", url: URL_OF_A_PICTURE, metadata: { page: "about" } },
] as const satisfies readonly JobItem[];

export const JOB_REQUEST = {
  two: {
    summary: "Two pictures, and whom to tell",
    value: { items: [...JOB_ITEMS], webhook: "https://example.org/captions-done" },
  },
} as const satisfies Examples<Omit<JobRequest, "webhook"> & { webhook: string }>;

export const JOB_REQUEST_LINES = {
  first: { summary: "An item by its hash", value: JOB_ITEMS[0] },
  second: { summary: "An item by its address", value: JOB_ITEMS[1] },
} as const satisfies Examples<JobItem>;

const QUEUED: Job = {
  id: EXAMPLE_JOB_ID,
  status: "queued",
  counts: { total: 2, waiting: 2, cached: 0, generated: 0, failed: 0, cancelled: 0 },
  created_at: "2026-11-25T19:05:59.397Z",
  finished_at: null,
  expires_at: "2027-01-01T19:05:59.397Z",
  seconds_left: null,
  paused: null,
  problem: null,
  webhook: { url: "https://example.org/captions-done", delivery: "pending" },
};
const COMPLETED: Job = {
  ...QUEUED,
  status: "completed",
  counts: { ...QUEUED.counts, waiting: 0, cached: 1, failed: 1 },
  finished_at: "2026-11-25T19:06:00.435Z",
  expires_at: "2026-12-02T19:06:00.435Z",
};

export const NEW_JOB = {
  queued: {
    summary: "A new job; the secret is shown here only",
    value: {
      ...QUEUED,
      webhook: {
        url: "https://example.org/captions-done",
        delivery: "pending",
        secret: "whsec_GPaKH0FT1liXv5eg+aZ15+cG6Ja27cys",
      },
    },
  },
} as const satisfies Examples<Job>;

export const JOB_DONE = {
  completed: { summary: "A job that is done", value: COMPLETED },
} as const satisfies Examples<Job>;

export const JOB_CANCELLED = {
  cancelled: {
    summary: "A job that was cancelled after its first picture",
    value: {
      ...COMPLETED,
      status: "cancelled",
      counts: { ...QUEUED.counts, waiting: 0, cached: 1, cancelled: 1 },
    },
  },
} as const satisfies Examples<Job>;

export const JOB_LINES = {
  cached: {
    summary: "An item that was captioned before",
    value: { index: 0, id: "a", ...CAT, cached: true, status: "cached" },
  },
  failed: {
    summary: "An item that failed",
    value: {
      index: 1,
      id: "b",
      metadata: { page: "about" },
      status: "error",
      problem: problem("url-unreachable", "The picture was not fetched: its host could not be reached."),
    },
  },
} as const satisfies Examples<JobLine>;

export const JOB_TABLE = {
  table: {
    summary: "The same lines",
    value:
      "index,id,status,alt,caption,score,needs_review,sha256,problem,detail,metadata\n" +
      `0,a,cached,A cat,a cat,${CAT.score},false,${EXAMPLE_SHA256},,,\n` +
      `1,b,error,,,,,,url-unreachable,The picture was not fetched: its host could not be reached.,"{""page"":""about""}"\n`,
  },
} as const satisfies Examples<string>;

export const JOB_EVENTS_STREAM = {
  end: { summary: "The last event", value: `event: end\ndata: ${JSON.stringify(COMPLETED)}\nid: end\n\n` },
} as const satisfies Examples<string>;

export const IMAGE_TO_TEXT_REQUEST = {
  base64: {
    summary: "A picture as base64",
    value: { inputs: BASE64, parameters: { num_beams: 3 } },
  },
} as const satisfies Examples<ImageToTextRequest>;

export const IMAGE_TO_TEXT = {
  array: { summary: "For most clients", value: [{ generated_text: "a cat" }] },
  object: { summary: "For `@huggingface/inference` and browsers", value: { generated_text: "a cat" } },
} as const satisfies Examples<ImageToTextOutput | ImageToTextOutput[]>;

/** The details that the API gives with failures, word for word. */
const DETAILS: Partial<Record<ProblemCode, string>> = {
  "empty-body": "Send the bytes of one picture as the body.",
  "bad-request": "Expected a SHA-256 as 64 lower-case hexadecimal digits.",
  "bad-options": "num_beams: expected at most 8",
  unauthorized: "Send a key: Authorization: Bearer ate_...",
  forbidden: 'The key lacks the scope "caption".',
  "not-captioned": "Send its bytes to POST /v1/captions.",
  "model-not-found": `The model served here is ${EXAMPLE_MODEL}.`,
  "job-not-found":
    "There is no job with this id, it belongs to another key, or it was deleted seven days after its end.",
  "upload-timeout": "The body did not arrive within 30 s.",
  "request-in-progress": "A request with this Idempotency-Key is still being received.",
  "too-many-pixels": "20000 x 15000 pixels; at most 100000000 are accepted, 65535 on a side.",
  "unsupported-encoding": `Content-Encoding "gzip" is not supported. Send the body without it.`,
  "idempotency-key-reused":
    "This Idempotency-Key was used with another body or other options. Use a new one for a new job.",
  "image-too-large": "At most 20 MiB are accepted.",
  "too-many-items": "A job has at most 10000 items. Nothing of this one was kept; split it into several.",
  "not-an-image": NOT_AN_IMAGE,
  "unreadable-image": "The picture breaks off before its end.",
  "rate-limited": "The key sends requests too fast.",
  internal: "The request hit a bug in this service; its id is in x-request-id.",
  "backend-error": "The captioner did not accept the request.",
  unavailable: "No captioner answered; captions already made are still served.",
};

function problem(code: ProblemCode, detail: string): Problem {
  return toProblem({ code, detail });
}

/** Examples of answers, for those of `codes` whose words are known. */
export function problemExamples(codes: readonly ProblemCode[]): Examples<Problem> {
  return Object.fromEntries(
    codes.flatMap((code) => {
      const detail = DETAILS[code];
      return detail === undefined ? [] : [[code, { summary: code, value: problem(code, detail) }]];
    }),
  );
}
