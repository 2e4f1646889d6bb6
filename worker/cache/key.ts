/**
 * The name of a caption in every tier: SHA-256 of the picture + model revision + options, under the caption's owner if
 * tenants share nothing. New weights or other options give other keys, so nothing is ever invalidated, only no longer asked
 * for. The picture precedes revision and options, so that all its captions can be found and forgotten.
 */

import { contentHash } from "../../shared/content-hash.ts";
import { GenerationOptions } from "../../shared/schema.ts";

/** KV keys are at most 512 bytes, so what a backend or a caller may make long goes in by its hash. */
const PLAIN_REVISION = /^[\w.-]{1,80}$/;
/** In the schema's order, so another order would give other keys. */
const OPTION_NAMES = Object.keys(GenerationOptions.shape) as (keyof GenerationOptions)[];

export interface KeyParts {
  readonly revision: string;
  readonly options: GenerationOptions;
  readonly sha256: string;
  /** Id of the API key whose caption it is; absent if all share the cache. */
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

async function optionsPart(options: GenerationOptions): Promise<string> {
  const values = OPTION_NAMES.map((name) => options[name]);
  return values.every((value) => value === undefined) ? "-" : shortHash(JSON.stringify(values));
}

async function shortHash(text: string): Promise<string> {
  return (await contentHash(new Uint8Array(new TextEncoder().encode(text)))).slice(0, 32);
}
