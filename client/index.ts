/** What users of the client import. */

export { type CallOptions, type CaptionClient, type ClientOptions, createCaptionClient } from "./client.ts";
export { CaptionApiError, CaptionTransportError } from "./errors.ts";
