/** The options in the form: their present values, and the messages about them. */

import { type CaptionClient, type ClientOptions, createCaptionClient } from "../../client/index.ts";
import { MAX_ALT_CHARACTERS, MAX_NUM_BEAMS, MIN_ALT_CHARACTERS } from "../../shared/limits.ts";
import { at } from "./elements.ts";
import { complain } from "./status.ts";

const NUMBERS = [
  {
    id: "max-length",
    name: "max_length",
    words: `a whole number from ${MIN_ALT_CHARACTERS} to ${MAX_ALT_CHARACTERS}`,
  },
  { id: "num-beams", name: "num_beams", words: `a whole number from 1 to ${MAX_NUM_BEAMS}` },
] as const;
/** Text that a header cannot carry is not a key; the service then says that it wants one. */
const SENDABLE_KEY = /^[!-~]+$/;

/** The key in the form; empty if the service is open, or nobody has given one. */
export const givenKey = (): string => at("key", "input").value.trim();

/** A client of this page's own service, with the key that is in the form now. */
export function client(options: Pick<ClientOptions, "maxRetryAfterMs"> = {}): CaptionClient {
  const apiKey = givenKey();
  return createCaptionClient({
    baseUrl: location.origin,
    ...options,
    ...(SENDABLE_KEY.test(apiKey) ? { apiKey } : {}),
  });
}

/** The options as a query takes them; an invalid number is left out. */
export function givenOptions(): Record<string, string> {
  const prompt = at("prompt", "input").value.trim();
  const numbers = NUMBERS.flatMap(({ id, name }) => {
    const input = at(id, "input");
    return input.value !== "" && input.checkValidity() ? [[name, input.value] as const] : [];
  });
  return { ...Object.fromEntries(numbers), ...(prompt === "" ? {} : { prompt }) };
}

/** Opens the field for the key, and says there why; true if that is news. Somebody who is typing can go on typing. */
export function askForKey(problem: string): boolean {
  at("options", "details").open = true;
  const field = at("key", "input");
  if (field.getAttribute("aria-invalid") === "true") return false;
  complain(field, problem);
  if (document.activeElement?.matches("textarea, [type=text], [type=number]") !== true) field.focus();
  return true;
}

/**
 * Says what is wrong with an option when it is changed; `onKey` is called when the key changes. Firefox fills a form in
 * again after a reload, so options that have values are shown.
 */
export function listenToOptions(onKey: () => void): void {
  if (Object.keys(givenOptions()).length > 0) at("options", "details").open = true;
  for (const { id, words } of NUMBERS) {
    const input = at(id, "input");
    const judge = () => {
      const problem = `Expected ${words}. Until then the default is used.`;
      complain(input, input.checkValidity() ? undefined : problem);
    };
    input.addEventListener("change", judge);
    judge();
  }
  const key = at("key", "input");
  key.addEventListener("change", () => {
    complain(key, undefined);
    onKey();
  });
}
