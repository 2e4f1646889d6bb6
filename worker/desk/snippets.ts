/** The same request from elsewhere, ready to copy. No DOM. */

export interface SnippetParts {
  /** Where the API is. */
  readonly origin: string;
  /** File name, or an address. */
  readonly name: string;
  readonly url: string | undefined;
  readonly query: string;
  readonly hasKey: boolean;
}

export function curlLine({ origin, name, url, query, hasKey }: SnippetParts): string {
  const target = quoted(`${origin}/v1/captions${query}`);
  const key = hasKey ? ' -H "Authorization: Bearer $API_KEY"' : "";
  if (url === undefined) return `curl${key} --data-binary @${quoted(name)} ${target}`;
  return `curl${key} -H "Content-Type: application/json" -d ${quoted(JSON.stringify({ url }))} ${target}`;
}

export function typescriptLines({ origin, name, url, hasKey }: SnippetParts): string {
  const key = hasKey ? ", apiKey: process.env.API_KEY" : "";
  const call =
    url === undefined
      ? `client.caption(await readFile(${JSON.stringify(name)}))`
      : `client.captionUrl(${JSON.stringify(url)})`;
  return [
    ...(url === undefined ? ['import { readFile } from "node:fs/promises";'] : []),
    'import { createCaptionClient } from "alt-text-edge-client";',
    "",
    `const client = createCaptionClient({ baseUrl: ${JSON.stringify(origin)}${key} });`,
    `const { alt, needs_review } = await ${call};`,
  ].join("\n");
}

export function pythonLines({ origin, name, url, query, hasKey }: SnippetParts): string {
  const headers = hasKey ? ', headers={"Authorization": f"Bearer {os.environ[\'API_KEY\']}"}' : "";
  const body =
    url === undefined ? `data=open(${JSON.stringify(name)}, "rb")` : `json={"url": ${JSON.stringify(url)}}`;
  return [
    ...(hasKey ? ["import os"] : []),
    "import requests",
    "",
    `answer = requests.post(${JSON.stringify(`${origin}/v1/captions${query}`)}, ${body}${headers})`,
    'print(answer.json()["alt"])',
  ].join("\n");
}

/** One word of a POSIX shell. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
