"use client";
/** Shown under the text field: who wrote the words, their state, and the Generate button with its alternatives. */

import {
  Button,
  useDocumentInfo,
  useField,
  useForm,
  useFormFields,
  useFormModified,
  useLocale,
} from "@payloadcms/ui";
import { useEffect, useId, useRef, useState } from "react";
import * as z from "zod";
import { FIELD, SOURCE_LABELS, SOURCES, STATES } from "../names.ts";
import { valueAt } from "../paths.ts";
import { CallError, useCall } from "./api.ts";
import { StatePill } from "./state-pill.tsx";

const POLL_EVERY_MS = 2000;

const Suggestion = z.object({ text: z.string(), score: z.number(), needsReview: z.boolean() });
type Suggestion = z.infer<typeof Suggestion>;
const Suggestions = z.object({ suggestions: z.array(Suggestion) });
const StoredDocument = z.record(z.string(), z.unknown());

export interface AltToolsProps {
  readonly altPath: string;
  readonly slug: string;
  /** The locale that is generated; undefined if the text is not localized. */
  readonly writtenLocale?: string;
  /** Whether this person may not change the text, according to Payload. */
  readonly readOnly?: boolean;
}

export function AltTools({ altPath, slug, writtenLocale, readOnly = false }: AltToolsProps) {
  const { hasSavePermission } = useDocumentInfo();
  const { code } = useLocale() ?? {};
  const decorative = useFormFields(([fields]) => fields[FIELD.decorative]?.value === true);
  const isOtherLocale = writtenLocale !== undefined && code !== writtenLocale;
  const mayChange = hasSavePermission !== false && !readOnly;
  usePendingDescription(slug, altPath, code);
  if (isOtherLocale) return null;
  return (
    <div className="alt-text-tools" style={{ display: "grid", gap: "0.5rem", marginTop: "0.5rem" }}>
      <Provenance altPath={altPath} mayChange={mayChange} />
      {mayChange && !decorative && <Generate altPath={altPath} slug={slug} />}
    </div>
  );
}

const ROW = { display: "flex", flexWrap: "wrap", gap: "0.5rem", alignItems: "center" } as const;

function Provenance({ altPath, mayChange }: { readonly altPath: string; readonly mayChange: boolean }) {
  const { setModified } = useForm();
  const isModified = useFormModified();
  const stateValue = useFormFields(([fields]) => fields[FIELD.state]?.value);
  const sourceValue = useFormFields(([fields]) => fields[FIELD.source]?.value);
  const score = useFormFields(([fields]) => fields[FIELD.score]?.value);
  const reason = useFormFields(([fields]) => fields[FIELD.reason]?.value);
  const isTouched = useFormFields(([fields]) => fields[altPath]?.value !== fields[altPath]?.initialValue);
  const state = STATES.find((known) => known === stateValue);
  const source = SOURCES.find((known) => known === sourceValue);
  const shown = isTouched ? undefined : state;
  const wantsReader = shown === "review" || shown === "stale";
  return (
    <div style={ROW}>
      {/* Always present: screen readers announce what changes in it, not what appears together with it. */}
      <div role="status" style={ROW}>
        {shown !== undefined && (
          <>
            <StatePill state={shown} />
            {source !== undefined && shown !== "generated" && <span>{SOURCE_LABELS[source]}.</span>}
            {typeof score === "number" && <span>Score {Math.round(score * 100)} of 100.</span>}
            {typeof reason === "string" && reason !== "" && <span>{reason}</span>}
          </>
        )}
        {wantsReader && (
          <span>
            {isModified ? "Save, and it counts as read." : "Read it, change it if need be, and save."}
          </span>
        )}
      </div>
      {wantsReader && mayChange && (
        // Payload does not save a form that nobody has changed.
        <Button buttonStyle="secondary" size="small" margin={false} onClick={() => setModified(true)}>
          It is right as it is
        </Button>
      )}
    </div>
  );
}

function Generate({ altPath, slug }: { readonly altPath: string; readonly slug: string }) {
  const { id } = useDocumentInfo();
  const { value, setValue } = useField<string>({ path: altPath });
  const { value: suggested, setValue: setSuggestion } = useField<Suggestion | null>({
    path: FIELD.suggestion,
  });
  const file = useFormFields(([fields]) => fields.file?.value);
  const call = useCall();
  const [suggestions, setSuggestions] = useState<readonly Suggestion[]>([]);
  const [message, setMessage] = useState<string>();
  const [isBusy, setIsBusy] = useState(false);
  const listId = useId();
  const list = useRef<HTMLDivElement>(null);
  const shownFile = useRef(file);
  const shownText = useRef(value);

  useEffect(() => {
    shownText.current = value;
  }, [value]);

  useEffect(() => {
    if (shownFile.current === file) return;
    shownFile.current = file;
    if (!(file instanceof File)) return;
    // Generated words belong to the picture that they were generated for.
    setSuggestions([]);
    setMessage(undefined);
    if (!suggested || suggested.text !== value) return;
    setValue("");
    setSuggestion(null);
  }, [file, suggested, value, setValue, setSuggestion]);

  const isNewFile = file instanceof File;
  // A new document has no id, and the form that edits many at once has null.
  const isStored = id !== undefined && id !== null;
  if (!isNewFile && !isStored) return null;

  const use = (suggestion: Suggestion) => {
    setValue(suggestion.text);
    setSuggestion({ text: suggestion.text, score: suggestion.score, needsReview: suggestion.needsReview });
  };

  /** The pressed button disappears with its list, so the focus moves to the field, where the words are read aloud. */
  const choose = (suggestion: Suggestion) => {
    use(suggestion);
    setMessage(undefined);
    list.current
      ?.closest("form")
      ?.querySelector<HTMLElement>(`#${CSS.escape(fieldId(altPath))}`)
      ?.focus();
  };

  const generate = async () => {
    if (isBusy) return;
    setIsBusy(true);
    setMessage("Generating.");
    try {
      const init: RequestInit = isNewFile ? { body: formOf(file) } : { body: JSON.stringify({ id }) };
      const answer = await call(`/alt-text/${slug}/suggest`, Suggestions, { method: "POST", ...init });
      if (shownFile.current !== file) return;
      setSuggestions(answer.suggestions);
      const [first] = answer.suggestions;
      // The field may hold somebody's own words; then the person chooses.
      const isFree = !shownText.current;
      if (first !== undefined && isFree) use(first);
      const isOther = answer.suggestions.some(({ text }) => text !== shownText.current);
      if (first === undefined) setMessage("No usable text came back.");
      else if (isFree) setMessage("The text is in the field now: read it, and save.");
      else
        setMessage(
          isOther ? "The field is as it was: choose below." : "The generated text is already in the field.",
        );
    } catch (error) {
      setMessage(error instanceof CallError ? error.message : "The answer was not understood.");
    } finally {
      setIsBusy(false);
    }
  };

  const others = suggestions.filter(({ text }) => text !== value);
  return (
    <>
      <div>
        <Button
          buttonStyle="secondary"
          size="small"
          margin={false}
          // A disabled button would lose the keyboard focus.
          extraButtonProps={{ "aria-disabled": isBusy }}
          onClick={generate}
        >
          {isBusy ? "Generating…" : "Generate alt text"}
        </Button>
      </div>
      <div aria-live="polite">{message}</div>
      {others.length > 0 && (
        <div ref={list}>
          <div id={listId}>{value ? "Use instead:" : "Use:"}</div>
          <ul aria-labelledby={listId} style={{ listStyle: "none", padding: 0, margin: 0 }}>
            {others.map((suggestion) => (
              <li key={suggestion.text}>
                <Button buttonStyle="none" margin={false} onClick={() => choose(suggestion)}>
                  <span style={{ textDecoration: "underline" }}>{suggestion.text}</span>
                </Button>
              </li>
            ))}
          </ul>
        </div>
      )}
    </>
  );
}

/** The element id that Payload uses. */
const fieldId = (path: string) => `field-${path.replaceAll(".", "__")}`;

function formOf(file: File): FormData {
  const form = new FormData();
  form.append("file", file);
  return form;
}

/**
 * Polls for the description while it is on its way. An untouched field takes it over, so that saving does not meet
 * a document that has changed meanwhile; words that are being typed stay. `locale` is the form's.
 */
function usePendingDescription(slug: string, altPath: string, locale: string | undefined): void {
  const { id, data, setData } = useDocumentInfo();
  const { dispatchFields } = useForm();
  const state = useFormFields(([fields]) => fields[FIELD.state]?.value);
  const isUntouched = useFormFields(([fields]) => fields[altPath]?.value === fields[altPath]?.initialValue);
  const isMarkUntouched = useFormFields(([fields]) => {
    const mark = fields[FIELD.decorative];
    return (mark?.value ?? false) === (mark?.initialValue ?? false);
  });
  const call = useCall();

  useEffect(() => {
    if (state !== "pending" || id === undefined) return;
    const query = new URLSearchParams({ depth: "0", draft: "true", "fallback-locale": "none" });
    if (locale !== undefined) query.set("locale", locale);
    // An answer that is on its way when somebody begins to type would meet a form that has changed since the request.
    let isOver = false;
    const timer = setInterval(async () => {
      const stored = await call(`/${slug}/${id}?${query}`, StoredDocument).catch(() => undefined);
      if (isOver || stored === undefined || stored[FIELD.state] === "pending") return;
      clearInterval(timer);
      for (const path of Object.values(FIELD)) {
        if (path === FIELD.suggestion || (path === FIELD.decorative && !isMarkUntouched)) continue;
        dispatchFields({
          type: "UPDATE",
          path,
          value: stored[path] ?? null,
          initialValue: stored[path] ?? null,
        });
      }
      const text = valueAt(stored, altPath) ?? "";
      if (isUntouched) dispatchFields({ type: "UPDATE", path: altPath, value: text, initialValue: text });
      setData({ ...data, ...stored });
    }, POLL_EVERY_MS);
    return () => {
      isOver = true;
      clearInterval(timer);
    };
  }, [state, id, isUntouched, isMarkUntouched, slug, altPath, locale, call, dispatchFields, setData, data]);
}
