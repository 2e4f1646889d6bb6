/** An operation as lines for a terminal in which `$API` and `$KEY` are set. */

import { shellWord } from "../../shared/shell-word.ts";
import { exampleText, LINES_TYPE, type Media, type Operation } from "./document.ts";

/** A line for each kind of body, or a single line for an operation without a body; `form` is the body's media type. */
export function curlLines(operation: Operation): { readonly form: string; readonly line: string }[] {
  const bodies = Object.entries(operation.requestBody.content);
  if (bodies.length === 0) return [{ form: "", line: curl(operation, "") }];
  return bodies.map(([type, media]) => {
    const input = type === LINES_TYPE ? `printf '%s\\n' ${lines(type, media)} |\n  ` : "";
    return { form: type, line: `${input}${curl(operation, bodyOf(type, media))}` };
  });
}

function curl(
  { method, path, parameters, security, responses, requestBody }: Operation,
  body: string,
): string {
  const hasBody = Object.keys(requestBody.content).length > 0;
  const isStream = Object.values(responses).some(({ content }) => "text/event-stream" in content);
  const verb = method === "GET" || hasBody ? "" : ` -X ${method}`;
  const key = security?.length === 0 ? "" : ' -H "Authorization: Bearer $KEY"';
  const address = path.replaceAll(/\{(\w+)\}/g, (_all, name: string) =>
    String(parameters.find((parameter) => parameter.name === name)?.schema.examples?.[0] ?? name),
  );
  return `curl${isStream ? " -N" : ""}${verb}${key}${body} "$API${address}"`;
}

function bodyOf(type: string, media: Media): string {
  switch (type) {
    case "application/octet-stream":
      return " --data-binary @photo.jpg";
    case "multipart/form-data":
      return " -F image=@photo.jpg";
    case "application/x-www-form-urlencoded":
      return " --data-urlencode url=https://example.org/photo.jpg";
    case LINES_TYPE:
      return ` -H "Content-Type: ${LINES_TYPE}" --data-binary @-`;
    default: {
      const [first] = Object.values(media.examples);
      return ` -H "Content-Type: ${type}" \\\n  -d ${shellWord(JSON.stringify(first?.value))}`;
    }
  }
}

function lines(type: string, media: Media): string {
  return exampleText(type, media).split("\n").map(shellWord).join(" ");
}
