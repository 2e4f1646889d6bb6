/**
 * transformers' `generate` as a peer, in the variants that its users choose from. It runs one batch at a time, so
 * that turns can alternate.
 */

import * as z from "zod";
import { startPython } from "./python.ts";
import { MeasurementError, median } from "./report.ts";

/** In compiled variants only the encoder is, by `torch.compile`: the decoder would be compiled anew for every token. */
const VARIANTS = ["float32", "bfloat16", "float32, compiled", "bfloat16, compiled"] as const;
export type Variant = (typeof VARIANTS)[number];

/** A variant that takes this many times as long as the fastest is not timed again. */
const HOPELESS = 2.5;

const Answer = z.union([z.object({ ms: z.number() }), z.object({ error: z.string() })]);

export interface Peer {
  /** Times a batch of each variant that may be the fastest. @throws MeasurementError if none runs */
  takeTurn(batch: number): Promise<void>;
  /** Median milliseconds of a batch by variant, fastest first. */
  results(batch: number): readonly { readonly variant: Variant; readonly ms: number }[];
  /** Variants that do not run here, and the reasons. */
  readonly errors: ReadonlyMap<Variant, string>;
  stop(): void;
}

export function startTransformers(options: {
  readonly python: string;
  readonly base: string;
  readonly adapter?: string | undefined;
  readonly imageSize: number;
  readonly newTokens: number;
  readonly threads: number;
  readonly device: "cpu" | "cuda";
}): Peer {
  const { python, base, adapter, imageSize, newTokens, threads, device } = options;
  const script = startPython(python, "reference/time_generate.py", [
    ...["--base", base, ...(adapter === undefined ? [] : ["--adapter", adapter]), "--device", device],
    ...["--image-size", String(imageSize), "--new-tokens", String(newTokens), "--threads", String(threads)],
  ]);
  const times = new Map<number, Map<Variant, number[]>>();
  const hopeless = new Set<Variant>();
  const errors = new Map<Variant, string>();

  const results: Peer["results"] = (batch) =>
    [...(times.get(batch) ?? [])]
      .map(([variant, ms]) => ({ variant, ms: median(ms) }))
      .sort((a, b) => a.ms - b.ms);
  return {
    async takeTurn(batch) {
      const ofBatch = times.get(batch) ?? new Map<Variant, number[]>();
      times.set(batch, ofBatch);
      for (const variant of VARIANTS) {
        if (hopeless.has(variant) || errors.has(variant)) continue;
        const answer = Answer.parse(await script.ask({ variant, batch }));
        if ("error" in answer) errors.set(variant, answer.error);
        else ofBatch.set(variant, [...(ofBatch.get(variant) ?? []), answer.ms]);
      }
      const [fastest, ...others] = results(batch);
      if (fastest === undefined) {
        throw new MeasurementError(`transformers does not run here: ${[...errors.values()].join("; ")}`);
      }
      for (const { variant, ms } of others) if (ms > HOPELESS * fastest.ms) hopeless.add(variant);
    },
    results,
    errors,
    stop: () => script.stop(),
  };
}
