/** The desk's request as code for other programs, ready to copy, with the same options. No DOM. */

import { shellWord } from "../../shared/shell-word.ts";
import type { Row } from "./worklist.ts";

/** The picture that is asked about: a file on the person's disk, an address, or a picture known only by its hash. */
type SnippetSource = { readonly file: string } | { readonly url: string } | { readonly sha256: string };

export interface SnippetParts {
  /** Where the API is. */
  readonly origin: string;
  readonly source: SnippetSource;
  /** As a query has them, each as text; all but the prompt are numbers. */
  readonly options: Readonly<Record<string, string>>;
  readonly hasKey: boolean;
}

/**
 * The request for a row's picture, by the name of the language. `isOnDisk`: the row's name is the name of a file on the
 * person's disk.
 */
export function snippetsFor(
  { name, url, sha256 }: Pick<Row, "name" | "url" | "sha256">,
  { isOnDisk, ...request }: Omit<SnippetParts, "source"> & { readonly isOnDisk: boolean },
): Readonly<Record<string, string>> {
  // A pasted picture is not in a file, nor is one that a link named; after a reload it is not known which rows have one.
  const withoutUrl = sha256 !== undefined && !isOnDisk ? { sha256 } : { file: name };
  const parts = { ...request, source: url === undefined ? withoutUrl : { url } };
  return { curl: curlLine(parts), TypeScript: typescriptLines(parts), Python: pythonLines(parts) };
}

/** One line of a POSIX shell; a key is taken from `$API_KEY`. */
export function curlLine({ origin, source, options, hasKey }: SnippetParts): string {
  const query = queryOf(options);
  const key = hasKey ? ' -H "Authorization: Bearer $API_KEY"' : "";
  const captions = `${origin}/v1/captions`;
  if ("sha256" in source) return `curl${key} ${shellWord(`${captions}/${source.sha256}${query}`)}`;
  const target = shellWord(`${captions}${query}`);
  if ("file" in source) return `curl${key} --data-binary @${shellWord(source.file)} ${target}`;
  const body = shellWord(JSON.stringify({ url: source.url }));
  return `curl${key} -H "Content-Type: application/json" -d ${body} ${target}`;
}

/** A Node module that uses the client; a key is taken from its environment. */
export function typescriptLines({ origin, source, options, hasKey }: SnippetParts): string {
  const key = hasKey ? ", apiKey: process.env.API_KEY" : "";
  return [
    ...("file" in source ? ['import { readFile } from "node:fs/promises";'] : []),
    'import { createCaptionClient } from "alt-text-edge-client";',
    "",
    `const client = createCaptionClient({ baseUrl: ${JSON.stringify(origin)}${key} });`,
    `const answer = await ${typescriptCall(source, options)};`,
    "console.log(answer?.alt, answer?.needs_review);",
  ].join("\n");
}

function typescriptCall(source: SnippetSource, options: SnippetParts["options"]): string {
  const fields = Object.entries(options).map(
    ([name, value]) => `${name}: ${name === "prompt" ? JSON.stringify(value) : value}`,
  );
  const call = fields.length === 0 ? "" : `, { ${fields.join(", ")} }`;
  if ("file" in source) return `client.caption(await readFile(${JSON.stringify(source.file)})${call})`;
  if ("url" in source) return `client.captionUrl(${JSON.stringify(source.url)}${call})`;
  return `client.find(${JSON.stringify(source.sha256)}${call})`;
}

/** A script that uses `requests`; a key is taken from its environment. */
export function pythonLines({ origin, source, options, hasKey }: SnippetParts): string {
  const query = queryOf(options);
  const headers = hasKey ? ', headers={"Authorization": f"Bearer {os.environ[\'API_KEY\']}"}' : "";
  const captions = `${origin}/v1/captions`;
  const call =
    "sha256" in source
      ? `get(${JSON.stringify(`${captions}/${source.sha256}${query}`)}`
      : `post(${JSON.stringify(`${captions}${query}`)}, ${"file" in source ? `data=open(${JSON.stringify(source.file)}, "rb")` : `json={"url": ${JSON.stringify(source.url)}}`}`;
  return [
    ...(hasKey ? ["import os"] : []),
    "import requests",
    "",
    `answer = requests.${call}${headers})`,
    'print(answer.json()["alt"])',
  ].join("\n");
}

function queryOf(options: SnippetParts["options"]): string {
  const query = new URLSearchParams(options);
  return query.size > 0 ? `?${query}` : "";
}
