/** The Hugging Face Hub's API, through its own client. No other file imports that client. */

import { downloadFile, listFiles, modelInfo } from "@huggingface/hub";
import { retryAfterMs } from "../../../shared/retry-after.ts";
import type { HubConfig } from "./config.ts";
import { HubError } from "./hub-error.ts";
import { COMMIT, type RemoteFile, type Repository } from "./repository.ts";

/** Digests become file names, so they must look exactly like digests. */
const DIGESTS = { sha256: /^[0-9a-f]{64}$/, "git-sha1": /^[0-9a-f]{40}$/ } as const;

/** A million files, in pages of the hub's own size; models have dozens of files. */
const MAX_LISTING_PAGES = 1_000;

export interface HubClient {
  /** The commit that the revision means now, 40 hexadecimal digits. */
  resolveCommit(repository: Repository): Promise<string>;
  listFiles(repository: Repository, commit: string): Promise<RemoteFile[]>;
  /** The file's bytes from `offset` on. */
  read(
    repository: Repository,
    commit: string,
    path: string,
    offset: number,
  ): Promise<ReadableStream<Uint8Array>>;
}

/** @throws HubError from every method, with what to do */
export function createHubClient({ endpoint, token }: Pick<HubConfig, "endpoint" | "token">): HubClient {
  const access = { hubUrl: endpoint };

  /** Turns errors of the client and the network into ones that the user can act on. */
  async function explained<T>(request: () => Promise<T>): Promise<T> {
    try {
      return await request();
    } catch (cause) {
      if (cause instanceof HubError) throw cause;
      throw new HubError(`${endpoint} cannot be reached or broke off (${reason(cause)}).`, {
        cause,
        retryable: true,
      });
    }
  }

  const home = new URL(endpoint).origin;

  /** Explains refusals itself, because the client drops their headers, and one of them says when to try again. */
  const checkedFetch = (repository: Repository) => async (input: RequestInfo | URL, init?: RequestInit) => {
    const request = new Request(input, init);
    // A listing names its next page, which may be on any server, but the token is for the hub alone. The client
    // would also demand that it begin with hf_, which tokens of mirrors do not.
    if (token !== undefined && new URL(request.url).origin === home) {
      request.headers.set("authorization", `Bearer ${token}`);
    }
    const response = await fetch(request);
    if (response.status >= 400) {
      await response.body?.cancel();
      throw explain(
        repository,
        response.status,
        retryAfterMs(response.headers.get("retry-after"), Date.now()),
        token,
      );
    }
    return response;
  };

  return {
    resolveCommit: (repository) =>
      explained(async () => {
        const { sha } = await modelInfo({
          name: repository.id,
          revision: repository.revision,
          additionalFields: ["sha"],
          fetch: checkedFetch(repository),
          ...access,
        });
        if (!COMMIT.test(sha))
          throw new HubError(`${endpoint} gives an invalid commit: it is not a hub. Check HF_ENDPOINT.`);
        return sha;
      }),
    listFiles: (repository, commit) =>
      explained(async () => {
        const files: RemoteFile[] = [];
        const fetchPage = checkedFetch(repository);
        let pages = 0;
        const entries = listFiles({
          repo: repository.id,
          revision: commit,
          fetch: (input, init) => {
            pages += 1;
            if (pages <= MAX_LISTING_PAGES) return fetchPage(input, init);
            throw new HubError(`${endpoint} lists files without end: it is not a hub. Check HF_ENDPOINT.`);
          },
          ...access,
        });
        for await (const { type, path, size, oid, lfs } of entries) {
          if (type !== "file") continue;
          if (lfs) files.push({ path, size: lfs.size, digest: checked("sha256", lfs.oid, path) });
          else if (oid) files.push({ path, size, digest: checked("git-sha1", oid, path) });
        }
        return files;
      }),
    read: (repository, commit, path, offset) =>
      explained(async () => {
        const blob = await downloadFile({
          repo: repository.id,
          revision: commit,
          path,
          // Plain byte ranges of the file, so that a download resumes where an earlier run stopped.
          xet: false,
          fetch: checkedFetch(repository),
          ...access,
        });
        if (!blob) throw new HubError(`${repository.id} has no ${path} any more.`);
        return blob.slice(offset).stream();
      }),
  };
}

function checked(algorithm: keyof typeof DIGESTS, hex: string, path: string): RemoteFile["digest"] {
  if (DIGESTS[algorithm].test(hex)) return { algorithm, hex };
  throw new HubError(`The hub gives an invalid digest for ${JSON.stringify(path)}.`);
}

function explain(
  { id, revision }: Repository,
  status: number,
  afterMs: number | undefined,
  token: string | undefined,
): HubError {
  const wait = afterMs === undefined ? {} : { retryAfterMs: afterMs };
  switch (status) {
    case 401:
    case 403:
      return new HubError(
        token === undefined
          ? `${id} is private, gated or does not exist. If you may see it, set HF_TOKEN to a token that can read it.`
          : `${id} cannot be read with this HF_TOKEN: check the token, or accept the model's terms on its page.`,
      );
    case 404:
      return new HubError(`There is no ${id} at revision ${revision}. Check the spelling, or give a folder.`);
    case 429: {
      const when = afterMs === undefined ? "later" : `in ${Math.max(1, Math.ceil(afterMs / 1000))} s`;
      return new HubError(`The hub limits requests (429). Try again ${when}.`, { retryable: true, ...wait });
    }
    default:
      return new HubError(`The hub answered ${status} for ${id}.`, { retryable: status >= 500, ...wait });
  }
}

function reason(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause instanceof Error ? `${cause.message}: ${cause.cause.message}` : cause.message;
}
