"use client";
/** Shown above the list: starts runs over many documents, shows the progress of the newest one, and ends it. */

import {
  Button,
  toast,
  useAuth,
  useConfig,
  useListQuery,
  useLocale,
  useRouteCache,
  useSelection,
} from "@payloadcms/ui";
import { mergeListSearchAndWhere } from "payload/shared";
import { useCallback, useEffect, useRef, useState } from "react";
import * as z from "zod";
import { RUN_STATUSES, RUNS_COLLECTION } from "../names.ts";
import { CallError, useCall } from "./api.ts";

const POLL_EVERY_MS = 1000;
/** An older summary is no longer shown. */
const SHOWN_FOR_MS = 10 * 60_000;

const Run = z.object({
  id: z.union([z.string(), z.number()]),
  status: z.enum(RUN_STATUSES),
  total: z.number(),
  generated: z.number(),
  cached: z.number(),
  skipped: z.number(),
  failed: z.number(),
  message: z.string().nullish(),
  reasons: z.array(z.object({ id: z.union([z.string(), z.number()]), reason: z.string() })).nullish(),
  finishedAt: z.string().nullish(),
});
type Run = z.infer<typeof Run>;
const Runs = z.object({ docs: z.array(Run) });
const Anything = z.unknown();

export function RunBar({ slug }: { readonly slug: string }) {
  const { permissions } = useAuth();
  const call = useCall();
  const { clearRouteCache } = useRouteCache();
  const { code: locale } = useLocale() ?? {};
  const [run, setRun] = useState<Run>();
  const [isHidden, setIsHidden] = useState(false);
  const section = useRef<HTMLElement>(null);
  /** The pressed button disappears. */
  const keepFocus = () => section.current?.focus();

  const look = useCallback(async () => {
    const query = new URLSearchParams({
      limit: "1",
      sort: "-createdAt",
      depth: "0",
      "where[target][equals]": slug,
    });
    const { docs } = await call(`/${RUNS_COLLECTION}?${query}`, Runs).catch(() => ({ docs: [] }));
    const [newest] = docs;
    setRun((before) => {
      if (before?.status === "running" && newest !== undefined && newest.status !== "running")
        clearRouteCache();
      return newest ?? before;
    });
  }, [call, slug, clearRouteCache]);

  useEffect(() => {
    void look();
  }, [look]);
  useEffect(() => {
    if (run?.status !== "running") return;
    const timer = setInterval(look, POLL_EVERY_MS);
    return () => clearInterval(timer);
  }, [run?.status, look]);

  const mayUpdate = Boolean(permissions?.collections?.[slug]?.update);
  if (!mayUpdate) return null;

  const start = async (body: object) => {
    try {
      // The filter applies to what this person sees.
      const path = `/alt-text/${slug}/runs${locale === undefined ? "" : `?locale=${locale}`}` as const;
      await call(path, Anything, { method: "POST", body: JSON.stringify(body) });
      setIsHidden(false);
      await look();
      keepFocus();
    } catch (error) {
      toast.error(error instanceof CallError ? error.message : "The answer was not understood.");
    }
  };
  const cancel = async () => {
    if (run === undefined) return;
    await call(`/alt-text/runs/${run.id}/cancel`, Anything, { method: "POST" }).catch((error: unknown) => {
      toast.error(error instanceof CallError ? error.message : "The answer was not understood.");
    });
    await look();
  };

  const hide = () => {
    setIsHidden(true);
    keepFocus();
  };

  const isNew = run?.status === "running" || Date.now() - Date.parse(run?.finishedAt ?? "") < SHOWN_FOR_MS;
  const news = isNew && !isHidden ? run : undefined;
  return (
    <section ref={section} tabIndex={-1} aria-label="Alt text" style={{ ...ROWS, margin: "0 0 1rem" }}>
      {run?.status !== "running" && <Starts slug={slug} start={start} />}
      <div
        style={news && { ...ROWS, border: "1px solid currentColor", borderRadius: "3px", padding: "0.75rem" }}
      >
        {/* Always present, because screen readers announce only changes within it; without numbers, which would all be announced. */}
        <div role="status">
          {news && <strong>{titleOf(news)}</strong>}
          {news?.message && <span> {news.message}</span>}
        </div>
        {news && <Progress run={news} cancel={cancel} hide={hide} />}
      </div>
    </section>
  );
}

const ROWS = { display: "grid", gap: "0.75rem" } as const;

const doneOf = ({ generated, cached, skipped, failed }: Run) => generated + cached + skipped + failed;

function titleOf(run: Run): string {
  const titles: Readonly<Record<Run["status"], string>> = {
    running: "Generating alt text",
    completed: `Alt text: all ${run.total} done`,
    cancelled: `Alt text: cancelled after ${doneOf(run)} of ${run.total}`,
    failed: `Alt text: stopped after ${doneOf(run)} of ${run.total}`,
  };
  return titles[run.status];
}

function Starts({ slug, start }: { readonly slug: string; readonly start: (body: object) => Promise<void> }) {
  const { count, selectAll, selectedIDs } = useSelection();
  const { query } = useListQuery();
  const { getEntityConfig } = useConfig();
  // A selection over all pages has no ids: then the filter and the search words say which documents are meant.
  const isOverPages = String(selectAll) === "allAvailable";
  const isFiltered = Boolean(query?.search) || Object.keys(query?.where ?? {}).length > 0;
  const shown = () =>
    mergeListSearchAndWhere({
      collectionConfig: getEntityConfig({ collectionSlug: slug }),
      search: query?.search ?? "",
      // mergeListSearchAndWhere changes the object that it is given.
      where: structuredClone(query?.where ?? {}),
    });
  const small = { buttonStyle: "secondary", size: "small", margin: false } as const;
  return (
    <div style={{ display: "flex", flexWrap: "wrap", gap: "0.5rem" }}>
      {count > 0 && (
        <Button {...small} onClick={() => start(isOverPages ? { where: shown() } : { ids: selectedIDs })}>
          {`Generate alt text for ${count} selected`}
        </Button>
      )}
      {isFiltered && (
        <Button {...small} onClick={() => start({ where: shown() })}>
          Generate alt text for all matching the filter
        </Button>
      )}
      <Button {...small} onClick={() => start({ missing: true })}>
        Generate all missing alt text
      </Button>
    </div>
  );
}

function Progress({
  run,
  cancel,
  hide,
}: {
  readonly run: Run;
  readonly cancel: () => void;
  readonly hide: () => void;
}) {
  return (
    <>
      {run.status === "running" && (
        <progress aria-label="Pictures done" max={run.total} value={doneOf(run)} style={{ width: "100%" }} />
      )}
      <div>
        {run.status === "running" && `${doneOf(run)} of ${run.total}: `}
        {`generated ${run.generated}, cached ${run.cached}, skipped ${run.skipped}, failed ${run.failed}.`}
      </div>
      {run.reasons && run.reasons.length > 0 && (
        <details>
          <summary>Why {run.reasons.length} failed</summary>
          <ul>
            {run.reasons.map(({ id, reason }) => (
              <li key={id}>{`${id}: ${reason}`}</li>
            ))}
          </ul>
        </details>
      )}
      <div>
        {run.status === "running" ? (
          <Button buttonStyle="secondary" size="small" margin={false} onClick={cancel}>
            Cancel
          </Button>
        ) : (
          <Button buttonStyle="secondary" size="small" margin={false} onClick={hide}>
            Hide
          </Button>
        )}
      </div>
    </>
  );
}
