/**
 * The name of a caption in every tier: model revision + options + SHA-256 of the picture.
 * New weights or other options are other keys, so nothing is ever invalidated, only no longer asked for.
 */

import { contentHash } from "../../shared/content-hash.ts";
import type { GenerationOptions } from "../../shared/schema.ts";

/** KV keys are at most 512 bytes, so what a backend or a caller may make long goes in by its hash. */
const PLAIN_REVISION = /^[\w.-]{1,80}$/;

export interface KeyParts {
  readonly revision: string;
  readonly options: GenerationOptions;
  readonly sha256: string;
}

/** `caption/{revision}/{options}/{sha256}`; absent options are `-`. */
export async function captionKey({ revision, options, sha256 }: KeyParts): Promise<string> {
  const revisionPart = PLAIN_REVISION.test(revision) ? revision : await shortHash(revision);
  return `caption/${revisionPart}/${await optionsPart(options)}/${sha256}`;
}

async function optionsPart({ prompt, max_new_tokens, num_beams }: GenerationOptions): Promise<string> {
  if (prompt === undefined && max_new_tokens === undefined && num_beams === undefined) return "-";
  return shortHash(JSON.stringify([prompt, max_new_tokens, num_beams]));
}

async function shortHash(text: string): Promise<string> {
  return (await contentHash(new Uint8Array(new TextEncoder().encode(text)))).slice(0, 32);
}
