/**
 * What a save means to the text, kept among its data until that is decided: what was really sent, or that it is a write of
 * our own. Not in the request's context: several saves may share one request, at the same time or one inside another's hooks.
 */

import type { RequestContext } from "payload";
import type { Document } from "./paths.ts";
import type { Sent } from "./provenance.ts";

/** Marks a write of our own to one document, with the text and the file that it was decided on. */
export interface MachineWrite {
  readonly collection: string;
  readonly id: number | string;
  readonly expectedAlt: string;
  /** `fileMark` of the document. */
  readonly expectedFile: string;
  /** Whether it is a draft: a write that takes a draft for the published document would publish it. */
  readonly expectedStatus: unknown;
  /** Whether it brings another text. */
  readonly isNewText: boolean;
}

/** Thrown inside our own writes: somebody else wrote the text or replaced the file since they were read. */
export class ChangedMeanwhileError extends Error {
  override readonly name = "ChangedMeanwhileError";
  constructor() {
    super("The picture or its alt text was changed by somebody else meanwhile.");
  }
}

const MACHINE = "altTextMachineWrite";
const INTENT = "altTextIntent";

export type Intent =
  | {
      readonly kind: "sent";
      readonly sent: Sent;
      /** A file, or a crop of the stored one: Payload reads and converts that anew where a focal point moved, too. */
      readonly bringsPicture: boolean;
    }
  | { readonly kind: "machine"; readonly write: MachineWrite };

/** The context of a request that makes this write. */
export const machineContext = (write: MachineWrite): RequestContext => ({ [MACHINE]: write });

/** The write of our own that a save of this document is; the next save of the request is none. */
export function takeMachineWrite(
  context: RequestContext,
  { collection, id }: { readonly collection: string; readonly id: unknown },
): MachineWrite | undefined {
  const write = context[MACHINE] as MachineWrite | undefined;
  if (write?.collection !== collection || write.id !== id) return undefined;
  // What the site's hooks save in the course of it is the site's own.
  delete context[MACHINE];
  return write;
}

export const withIntent = (data: Document | undefined, intent: Intent): Document => ({
  ...data,
  [INTENT]: intent,
});

/** Undefined for a save that no request sent, such as a copy or a version that is restored. */
export const intentIn = (data: Document) => data[INTENT] as Intent | undefined;

export function withoutIntent({ [INTENT]: _, ...data }: Document): Document {
  return data;
}
