/** Names of repositories, and which of their files a bundle needs. No I/O. */

import { HubError } from "./hub-error.ts";

export interface Repository {
  /** OWNER/NAME */
  readonly id: string;
  /** Branch, tag or commit. */
  readonly revision: string;
}

/** Becomes a folder's name, so it must look exactly like a commit. */
export const COMMIT = /^[0-9a-f]{40}$/;

/** A file as the hub lists it. */
export interface RemoteFile {
  readonly path: string;
  readonly size: number;
  /** SHA-256 of a large file, git's blob SHA-1 of a small one; also its name in the cache. */
  readonly digest: { readonly algorithm: "sha256" | "git-sha1"; readonly hex: string };
}

/** What the repository is to be used as. */
export type ModelRole = "base" | "adapter";

/** Parses `OWNER/NAME` or `OWNER/NAME@REVISION`; undefined if `text` is neither. */
export function parseRepository(text: string): Repository | undefined {
  const match = /^([\w.-]+\/[\w.-]+)(?:@([\w./-]+))?$/.exec(text);
  if (!match?.[1] || /(^|\/)\.{1,2}(\/|$)/.test(text)) return undefined;
  return { id: match[1], revision: match[2] ?? "main" };
}

const WANTED = {
  base: {
    stem: "model",
    // One file of each group is needed. If files of both transformers 4 and 5 are there, under different names, all
    // are taken.
    required: [
      ["config.json"],
      ["preprocessor_config.json", "processor_config.json"],
      ["vocab.txt", "tokenizer.json"],
    ],
    optional: ["tokenizer_config.json"],
  },
  adapter: { stem: "adapter_model", required: [["adapter_config.json"]], optional: [] },
} as const;

/** Chooses those of `files` that a bundle needs. @throws HubError naming what is missing */
export function chooseFiles<File extends Pick<RemoteFile, "path">>(
  repository: Repository,
  role: ModelRole,
  files: readonly File[],
): File[] {
  const { stem, required, optional } = WANTED[role];
  const byPath = new Map(files.map((file) => [file.path, file]));
  const missing = required.find((names) => names.every((path) => !byPath.has(path)));
  if (missing) {
    throw new HubError(
      `${repository.id} has no ${missing.join(" or ")}: it is not ${role === "base" ? "a BLIP model" : "a PEFT adapter"}.`,
    );
  }
  const whole = byPath.get(`${stem}.safetensors`);
  const index = byPath.get(`${stem}.safetensors.index.json`);
  const shards = files.filter(({ path }) => new RegExp(`^${stem}-\\d+-of-\\d+\\.safetensors$`).test(path));
  const weights = whole ? [whole] : index ? [index, ...shards] : [];
  if (weights.length === 0) {
    const pickled = files.some(({ path }) => path.endsWith(".bin"));
    throw new HubError(
      pickled
        ? `${repository.id} has its weights only as a pickled .bin file, which can run code when opened and is not read ` +
            "here. Ask for a safetensors conversion (many repositories have one as a pull request: try @refs/pr/N), or " +
            "convert it once with transformers: save_pretrained(..., safe_serialization=True), and give the folder."
        : `${repository.id} has no ${stem}.safetensors.`,
    );
  }
  const small = [...required.flat(), ...optional].flatMap((path) => byPath.get(path) ?? []);
  return [...small, ...weights];
}
