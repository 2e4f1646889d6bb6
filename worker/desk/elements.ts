/** Finds and makes elements, typed. */

/** The element with this id. Page and script agree on it, so a missing one is a bug. */
export function at<K extends keyof HTMLElementTagNameMap>(id: string, tag: K): HTMLElementTagNameMap[K] {
  const element = document.getElementById(id);
  if (element === null || element.localName !== tag) throw new Error(`This is a bug: no ${tag} '${id}'.`);
  return element as HTMLElementTagNameMap[K];
}

type Attributes = Readonly<Record<string, string | boolean | undefined>>;

/** A new element; an attribute that is false or undefined is left out. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

export function hiddenText(text: string): HTMLElement {
  return make("span", { class: "visually-hidden" }, text);
}

/** Has the browser save a file. */
export function save(content: Blob, file: string): void {
  const address = URL.createObjectURL(content);
  make("a", { href: address, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
