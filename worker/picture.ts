/** A picture on its way from intake to captioner: its bytes, not decoded. */

export interface Picture {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Media type as sniffed from the bytes. */
  readonly type: string;
}
