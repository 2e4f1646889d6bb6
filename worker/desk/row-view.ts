/** One row of the desk as elements, and what a person does with it. Holds no state except what is on the page. */

import type { Offers } from "./alternatives.ts";
import { hiddenText, make } from "./elements.ts";
import { type Decision, excessOf, lengthOf, type Row, verdictOf } from "./worklist.ts";

export interface RowActions {
  edit(id: string, text: string): void;
  decide(id: string, decision: Decision): void;
  retry(id: string): void;
  /** Other captions of a picture, or why there are none. */
  alternatives(id: string): Promise<Offers>;
  copy(text: string, what: string): void;
  /** Announces words to screen readers. */
  say(words: string): void;
  /** Code for the same request, by the name of the programming language. */
  snippets(id: string): Readonly<Record<string, string>>;
  linkOf(id: string): string | undefined;
}

export interface RowView {
  readonly element: HTMLLIElement;
  update(row: Row): void;
  focus(): void;
  /** Shows the picture at this address as the thumbnail. */
  show(address: string): void;
}

/** UI Events, "Legacy key and mouse event attributes": a key that an input method has taken. */
const COMPOSING = 229;
const TEXT_STATES: ReadonlySet<Row["state"]["kind"]> = new Set(["captioned", "failed", "lost"]);

export function createRowView(first: Row, actions: RowActions): RowView {
  const { id, name } = first;
  const named = (text: string) => [text, hiddenText(` ${name}`)];
  const title = make("h3", { id: `${id}-name` }, name);
  const image = make("img", { alt: "", loading: "lazy", decoding: "async", hidden: true });
  const text = make("textarea", {
    id: `${id}-text`,
    rows: "2",
    dir: "auto",
    "aria-describedby": `${id}-verdict ${id}-length`,
  });
  const label = make("label", { for: text.id }, "Alt text", hiddenText(` of ${name}`));
  const length = make("p", { id: `${id}-length`, class: "hint" });
  const verdict = make("p", { id: `${id}-verdict` });
  const original = make("p", { class: "hint", hidden: true });
  const button = (words: string, act: () => void, kind = "plain") => {
    const made = make("button", { type: "button", class: kind }, ...named(words));
    made.addEventListener("click", act);
    return made;
  };
  const accept = button("Accept", () => actions.decide(id, "accepted"), "");
  const decorative = button("Decorative", () => actions.decide(id, "decorative"));
  const skip = button("Skip", () => actions.decide(id, "skipped"));
  const reopen = button("Open again", () => actions.decide(id, "open"));
  const retry = button("Retry", () => {
    // The button disappears during the retry, so the focus moves to stay in the row.
    text.focus();
    actions.retry(id);
  });
  const copy = button("Copy", () => actions.copy(text.value, `Alt text of ${name}`));
  const suggestions = make("div", { class: "alternatives" });
  const more = button("Other captions", suggest);
  const elsewhere = make("details", {}, make("summary", {}, "From a program", hiddenText(`: ${name}`)));
  const element = make(
    "li",
    { "aria-labelledby": title.id, id },
    make("div", {}, image),
    make(
      "div",
      {},
      title,
      verdict,
      label,
      text,
      length,
      original,
      make("div", { class: "buttons" }, accept, decorative, skip, reopen, retry, more, copy),
      suggestions,
      elsewhere,
    ),
  );

  text.addEventListener("input", () => actions.edit(id, text.value));
  text.addEventListener("keydown", (event) => {
    // Alt text is one line. An input method uses Enter for itself, which Safari tells only by the key code.
    if (event.key !== "Enter" || event.isComposing || event.keyCode === COMPOSING) return;
    event.preventDefault();
    // A decided row has to be reopened first.
    if (!text.readOnly) actions.decide(id, "accepted");
  });
  elsewhere.addEventListener("toggle", () => {
    if (!elsewhere.open) return;
    const link = actions.linkOf(id);
    const snippets = Object.entries(actions.snippets(id)).map(([language, lines]) =>
      snippet(language, lines),
    );
    elsewhere.replaceChildren(
      elsewhere.firstElementChild ?? "",
      ...(link === undefined ? [] : [make("p", {}, make("a", { href: link }, "A link to this caption"))]),
      make("div", { class: "snippets" }, ...snippets),
    );
  });

  function snippet(language: string, lines: string): HTMLElement {
    const copyIt = make("button", { type: "button", class: "plain" }, `Copy the ${language} lines`);
    copyIt.addEventListener("click", () => actions.copy(lines, `The ${language} lines`));
    return make("div", {}, make("h4", {}, language), make("pre", { tabindex: "0" }, lines), copyIt);
  }

  function tell(words: string, uses: readonly HTMLButtonElement[] = []): void {
    suggestions.replaceChildren(make("p", {}, words), ...uses);
    actions.say(words);
  }

  async function suggest(): Promise<void> {
    // Not `disabled`, which would drop the focus.
    if (more.ariaDisabled === "true") return;
    more.ariaDisabled = "true";
    tell("Asking for other captions…");
    const { offers, whyNone } = await actions.alternatives(id);
    const uses = offers.map((other) => {
      const use = make("button", { type: "button", class: "plain" }, hiddenText("Use: "), other);
      use.addEventListener("click", () => {
        text.focus();
        text.select();
        // Inserted as if it were typed, so that Ctrl-Z brings the person's own words back. This fires the input event too.
        document.execCommand("insertText", false, other);
      });
      return use;
    });
    tell(uses.length === 0 ? whyNone : `${uses.length} other caption${uses.length === 1 ? "" : "s"}.`, uses);
    more.ariaDisabled = "false";
  }

  function update(row: Row): void {
    const isOpen = row.decision === "open";
    const hasText = TEXT_STATES.has(row.state.kind);
    if (text.value !== row.text) text.value = row.text;
    text.readOnly = row.state.kind === "waiting" || row.state.kind === "asking" || !isOpen;
    element.className = isOpen ? "" : "row-done";
    element.toggleAttribute("aria-busy", row.state.kind === "asking");
    verdict.textContent = verdictOf(row);
    verdict.className =
      row.state.kind === "failed" && isOpen ? "problem" : row.needsReview && isOpen ? "review" : "";
    length.textContent = lengthOf(row.text);
    length.classList.toggle("over", excessOf(row.text) > 0);
    const isEdited = row.original !== undefined && row.text.trim() !== row.original;
    original.hidden = !isEdited;
    original.textContent = isEdited ? `The model said: ${row.original}` : "";
    accept.hidden = !isOpen;
    accept.disabled = row.text.trim() === "";
    decorative.hidden = !isOpen;
    skip.hidden = !isOpen;
    reopen.hidden = isOpen;
    retry.hidden = !(isOpen && row.state.kind === "failed" && row.state.canRetry);
    more.hidden = !(isOpen && row.state.kind === "captioned");
    suggestions.hidden = more.hidden;
    copy.hidden = !hasText || row.text === "";
  }

  update(first);
  return {
    element,
    update,
    focus() {
      (text.readOnly ? (reopen.hidden ? skip : reopen) : text).focus();
      element.scrollIntoView({ block: "nearest" });
    },
    show(address) {
      image.hidden = false;
      image.src = address;
    },
  };
}
