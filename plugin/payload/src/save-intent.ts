/**
 * What a save means for the text, kept in its data until that is decided: what was really sent, or that it is one
 * of our own writes. It is not kept in the request's context, because several saves may share one request, at the
 * same time or inside each other's hooks.
 */

import type { RequestContext } from "payload";
import type { Document } from "./paths.ts";
import type { Sent } from "./provenance.ts";

/** Marks one of our own writes to one document, with the text and file that it was based on. */
export interface MachineWrite {
  readonly collection: string;
  readonly id: number | string;
  readonly expectedAlt: string;
  /** `fileMark` of the document. */
  readonly expectedFile: string;
  /** Whether it was a draft: a write that takes a draft for the published document would publish it. */
  readonly expectedStatus: unknown;
  /** Whether it brings another text. */
  readonly isNewText: boolean;
}

/** Thrown inside our own writes if somebody else has written the text or replaced the file since they were read. */
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
      /**
       * A file, or a crop of the stored one. Payload also reads and converts the stored file again when a focal
       * point moved.
       */
      readonly bringsPicture: boolean;
    }
  | { readonly kind: "machine"; readonly write: MachineWrite };

/** The context of a request that makes this write. */
export const machineContext = (write: MachineWrite): RequestContext => ({ [MACHINE]: write });

/** Our own write that a save of this document is, if any. It is taken, so that the request's next save is not one. */
export function takeMachineWrite(
  context: RequestContext,
  { collection, id }: { readonly collection: string; readonly id: unknown },
): MachineWrite | undefined {
  const write = context[MACHINE] as MachineWrite | undefined;
  if (write?.collection !== collection || write.id !== id) return undefined;
  // Saves by the site's hooks in the meantime are the site's own.
  delete context[MACHINE];
  return write;
}

export const withIntent = (data: Document | undefined, intent: Intent): Document => ({
  ...data,
  [INTENT]: intent,
});

/** Undefined for a save that no request sent, such as a copy or a restored version. */
export const intentIn = (data: Document) => data[INTENT] as Intent | undefined;

export function withoutIntent({ [INTENT]: _, ...data }: Document): Document {
  return data;
}
