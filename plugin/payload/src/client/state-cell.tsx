"use client";
import type { DefaultCellComponentProps } from "payload";
import { STATES } from "../names.ts";
import { StatePill } from "./state-pill.tsx";

/** The list's state column; a document from before the plugin has no state yet. */
export function StateCell({ cellData }: DefaultCellComponentProps) {
  const state = STATES.find((known) => known === cellData);
  return state === undefined ? <span>–</span> : <StatePill state={state} />;
}
