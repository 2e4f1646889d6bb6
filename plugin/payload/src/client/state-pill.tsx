"use client";
import { Pill } from "@payloadcms/ui";
import type { ComponentProps } from "react";
import { STATE_LABELS, type State } from "../names.ts";

const STYLES: Readonly<Record<State, NonNullable<ComponentProps<typeof Pill>["pillStyle"]>>> = {
  missing: "error",
  pending: "light",
  review: "warning",
  generated: "light",
  described: "success",
  stale: "warning",
  failed: "error",
  decorative: "light",
};

/** The state in words, which the colour only repeats. */
export function StatePill({ state }: { readonly state: State }) {
  return (
    <Pill pillStyle={STYLES[state]} size="small">
      {STATE_LABELS[state]}
    </Pill>
  );
}
