/** The options of the form: what it holds now, and what is said of it. */

import { type CaptionClient, type ClientOptions, createCaptionClient } from "../../client/index.ts";
import { at } from "./elements.ts";
import { complain } from "./status.ts";

const NUMBERS = [
  { id: "max-length", name: "max_length", words: "a whole number from 20 to 500" },
  { id: "num-beams", name: "num_beams", words: "a whole number from 1 to 8" },
] as const;
/** What no header takes is no key: the service then says that it wants one. */
const SENDABLE_KEY = /^[!-~]+$/;

/** Empty where the service is open, or nobody has given one. */
export const givenKey = (): string => at("key", "input").value.trim();

/** A client of this page's own service, with the key as it is given now. */
export function client(options: Pick<ClientOptions, "maxRetryAfterMs"> = {}): CaptionClient {
  const apiKey = givenKey();
  return createCaptionClient({
    baseUrl: location.origin,
    ...options,
    ...(SENDABLE_KEY.test(apiKey) ? { apiKey } : {}),
  });
}

/** As they go into a query; a number that is none is left out. */
export function givenOptions(): Record<string, string> {
  const prompt = at("prompt", "input").value.trim();
  const numbers = NUMBERS.flatMap(({ id, name }) => {
    const input = at(id, "input");
    return input.value !== "" && input.checkValidity() ? [[name, input.value] as const] : [];
  });
  return { ...Object.fromEntries(numbers), ...(prompt === "" ? {} : { prompt }) };
}

/** Opens the field of the key, and says there why; true where that is news. Whoever is typing a text goes on in it. */
export function askForKey(problem: string): boolean {
  at("options", "details").open = true;
  const field = at("key", "input");
  if (field.getAttribute("aria-invalid") === "true") return false;
  complain(field, problem);
  if (document.activeElement?.localName !== "textarea") field.focus();
  return true;
}

/**
 * Says what is wrong with an option as it is changed; `onKey` is told of another key. Firefox fills a form in again when its
 * page is loaded anew: what holds is in sight.
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
  for (const { id } of [...NUMBERS, { id: "prompt" }, { id: "key" }]) {
    // Enter in an option is no wish to add an address.
    at(id, "input").addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
  }
}
