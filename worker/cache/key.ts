/**
 * The name of a caption in every tier: SHA-256 of the picture + model revision + options, under the one it belongs to
 * where tenants share nothing. New weights or other options are other keys, so nothing is ever invalidated, only no longer
 * asked for. The picture comes before them, so that all that was said of it can be found and forgotten.
 */

import { contentHash } from "../../shared/content-hash.ts";
import type { GenerationOptions } from "../../shared/schema.ts";

/** KV keys are at most 512 bytes, so what a backend or a caller may make long goes in by its hash. */
const PLAIN_REVISION = /^[\w.-]{1,80}$/;

export interface KeyParts {
  readonly revision: string;
  readonly options: GenerationOptions;
  readonly sha256: string;
  /** Id of the key whose caption it is; absent where all share the cache. */
  readonly owner?: string | undefined;
}

/** `caption/{owner}/{sha256}/{revision}/{options}`; an absent owner is `all`, absent options are `-`. */
export async function captionKey({ revision, options, ...picture }: KeyParts): Promise<string> {
  const revisionPart = PLAIN_REVISION.test(revision) ? revision : await shortHash(revision);
  return `${captionKeyPrefix(picture)}${revisionPart}/${await optionsPart(options)}`;
}

/** What all keys of a picture begin with. */
export function captionKeyPrefix({ sha256, owner }: Pick<KeyParts, "sha256" | "owner">): string {
  return `caption/${owner ?? "all"}/${sha256}/`;
}

async function optionsPart({ prompt, max_new_tokens, num_beams }: GenerationOptions): Promise<string> {
  if (prompt === undefined && max_new_tokens === undefined && num_beams === undefined) return "-";
  return shortHash(JSON.stringify([prompt, max_new_tokens, num_beams]));
}

async function shortHash(text: string): Promise<string> {
  return (await contentHash(new Uint8Array(new TextEncoder().encode(text)))).slice(0, 32);
}
