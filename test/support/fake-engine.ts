/** An engine that answers when the test says so, and refuses what the real one refuses. */

import { type BundleManifest, GRAPH_VERSION } from "../../backend/bundle/bundle.ts";
import type { Tokenizer } from "../../backend/bundle/tokenizer.ts";
import type { DecodingOptions, Engine, TokenSequence } from "../../backend/engines/engine.ts";

const SIZE = 16;
const END_TOKEN = 2;

const fakeManifest: BundleManifest = {
  format: 2,
  graph_version: GRAPH_VERSION,
  id: "test/fake",
  revision: "r1",
  architecture: "blip",
  dtype: "fp32",
  graph: "model.onnx",
  variants: [],
  image: { size: SIZE, mean: [0, 0, 0], std: [1, 1, 1], resampling: "bicubic" },
  tokens: { bos: 1, eos: END_TOKEN, pad: 0, lower_case: true, max_positions: 24 },
  generation: { max_new_tokens: 10, num_beams: 1 },
  base: { id: "test/fake", sha256: "0" },
  adapter: null,
  picture_head: true,
  review: null,
};

/** One call of `generate` that waits for the test. */
export interface HeldPass {
  readonly batch: number;
  readonly options: DecodingOptions;
  /** Mean of red, green and blue of each row, rounded: what the fake tells pictures apart by. */
  readonly colours: readonly string[];
  readonly signal: AbortSignal | undefined;
}

export interface FakeEngine extends Engine {
  /** Every forward pass so far, warm-up included, in order. */
  readonly passes: readonly HeldPass[];
  readonly closed: boolean;
  /** From now on passes wait for `release`. */
  hold(): void;
  /** Lets the waiting pass answer, and all later ones. */
  release(): void;
  /** Lets only the waiting pass answer; the next one waits again. */
  releaseOne(): void;
  /** The next pass throws this. */
  failNext(error: Error): void;
  /** Resolves once `count` passes have begun. */
  started(count: number): Promise<void>;
}

/** Says the colour of each picture as three tokens (100 + red, 100 + green, 100 + blue) and the end token, each of probability 0.5. */
export function createFakeEngine({ concurrency = 1, id = fakeManifest.id } = {}): FakeEngine {
  const passes: HeldPass[] = [];
  const waiters: { count: number; resolve: () => void }[] = [];
  let gate: PromiseWithResolvers<void> | undefined;
  let failure: Error | undefined;
  let busy = 0;
  let closed = false;

  function begin(pass: HeldPass): void {
    passes.push(pass);
    for (const waiter of waiters) if (passes.length >= waiter.count) waiter.resolve();
  }

  return {
    bundle: { manifest: { ...fakeManifest, id }, graphPath: "", vocabularyPath: "" },
    concurrency,
    passes,
    get closed() {
      return closed;
    },
    async generate(pixels, batch, options, signal) {
      if (closed) throw new Error("generate after close");
      if (busy >= concurrency) throw new Error("more forward passes at once than it takes");
      if (batch < 1 || pixels.length !== batch * 3 * SIZE * SIZE)
        throw new Error(`wrong shape for batch ${batch}`);
      busy += 1;
      const colours = Array.from({ length: batch }, (_, row) => meanColour(pixels, row));
      begin({ batch, options, colours: colours.map(String), signal });
      await gate?.promise;
      busy -= 1;
      if (failure !== undefined) {
        const error = failure;
        failure = undefined;
        throw error;
      }
      return colours.map((colour) => toSequence(colour, options));
    },
    async close() {
      if (busy) throw new Error("close during a forward pass");
      closed = true;
    },
    hold() {
      gate ??= Promise.withResolvers();
    },
    release() {
      gate?.resolve();
      gate = undefined;
    },
    releaseOne() {
      const waiting = gate;
      gate = Promise.withResolvers();
      waiting?.resolve();
    },
    failNext(error) {
      failure = error;
    },
    started(count) {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiters.push({ count, resolve });
      if (passes.length >= count) resolve();
      return promise;
    },
  };
}

function meanColour(pixels: Uint8Array, row: number): number[] {
  const plane = SIZE * SIZE;
  return [0, 1, 2].map((channel) => {
    const from = (row * 3 + channel) * plane;
    const sum = pixels.subarray(from, from + plane).reduce((total, value) => total + value, 0);
    return Math.round(sum / plane);
  });
}

function toSequence(colour: readonly number[], { maxNewTokens }: DecodingOptions): TokenSequence {
  const tokenIds = [...colour.map((value) => 100 + value), END_TOKEN].slice(0, maxNewTokens);
  return { tokenIds, logProbabilities: tokenIds.map(() => Math.log(1 / 3)), pictureScore: 2 / 3 };
}

/** Words are numbers; special tokens have no text. */
export const fakeTokenizer: Tokenizer = {
  encodePrompt: (text) => ({ ids: text.split(" ").map((word) => 1000 + word.length), unknown: [] }),
  decode: (tokenIds) => tokenIds.filter((id) => id >= 100).join(" "),
};
