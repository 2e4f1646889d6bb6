/** Captions for the pictures of a site, each asked for once: from a running API, or from the embedded model on this machine. */

import { openLocalCaptioner } from "../backend/local-captioner.ts";
import { inspectPicture } from "../backend/picture/inspect.ts";
import { PICTURE_LIMITS } from "../backend/picture/limits.ts";
import { CaptionApiError, CaptionTransportError } from "../client/index.ts";
import type { Caption } from "../shared/schema.ts";
import type { Gap } from "../site/gap.ts";
import { fetchPicture, PictureError, readSiteFile, sourceOf } from "../site/pictures.ts";
import { captionLocally, openApi } from "./captioners.ts";
import { CommandError } from "./command-line.ts";
import { progressLine } from "./progress.ts";
import { useProxyOfEnvironment } from "./proxy.ts";

/** In pixels; a smaller picture shows nothing. */
const SMALLEST_SIDE = 8;

export interface SiteCaptioner {
  /**
   * The caption of the picture that a gap of `page` is for, or why there is none.
   * @throws CommandError if no other picture would be captioned either
   */
  caption(page: string, gap: Gap): Promise<Caption | string>;
  close(): Promise<void>;
}

/** @param api the API to ask; without an address, the embedded model is asked */
export async function openSiteCaptioner(
  folder: string,
  api: { readonly url?: string | undefined; readonly key?: string | undefined },
): Promise<SiteCaptioner> {
  const source = api.url === undefined ? await localSource() : apiSource(api.url, api.key);
  const captionFile = once(async (path: string) => source.file(await readSiteFile(folder, path)));
  const captionAddress = once(source.address);
  return {
    async caption(page, gap) {
      try {
        const picture = sourceOf(folder, page, gap);
        const caption = await (picture.kind === "file"
          ? captionFile(picture.path)
          : captionAddress(picture.url));
        return caption.alt === "" ? "No text came back." : caption;
      } catch (error) {
        if (error instanceof PictureError) return error.message;
        const end =
          source.whyNoOther(error) ?? (error instanceof CaptionTransportError ? error.message : undefined);
        if (end !== undefined) throw new CommandError(end);
        if (error instanceof CaptionApiError) return error.problem.detail;
        throw error;
      }
    },
    close: source.close,
  };
}

/** Has the picture in a file or at an address captioned; remembers nothing. */
interface CaptionSource {
  file(bytes: Uint8Array<ArrayBuffer>): Promise<Caption>;
  address(url: string): Promise<Caption>;
  /** Why it would caption no other picture either, after one that failed; undefined if it might. */
  whyNoOther(error: unknown): string | undefined;
  close(): Promise<void>;
}

function apiSource(url: string, key: string | undefined): CaptionSource {
  const { client, whyNoOther } = openApi(url, key);
  return {
    async file(bytes) {
      requireVisible(bytes);
      return client.caption(bytes);
    },
    address: (address) => client.captionUrl(address),
    whyNoOther,
    async close() {},
  };
}

async function localSource(): Promise<CaptionSource> {
  useProxyOfEnvironment();
  const { captioner, engine } = await openLocalCaptioner(undefined, {
    onProgress: progressLine("Building the embedded model"),
  });
  async function file(bytes: Uint8Array<ArrayBuffer>): Promise<Caption> {
    requireVisible(bytes);
    const result = await captionLocally(captioner, bytes);
    if (!result.ok) throw new PictureError(result.failure.detail);
    return result.value;
  }
  return {
    file,
    address: async (url) => file(await fetchPicture(url)),
    whyNoOther: () => undefined,
    close: () => engine.close(),
  };
}

/** @throws PictureError for a spacer, a rule, or a tracking pixel, in which a model would see something all the same. */
function requireVisible(bytes: Uint8Array<ArrayBuffer>): void {
  const inspected = inspectPicture(bytes, PICTURE_LIMITS);
  if (!inspected.ok) return; // whoever captions it says why
  const { width, height } = inspected.value;
  if (Math.min(width, height) >= SMALLEST_SIDE) return;
  throw new PictureError(
    `The picture has ${width} x ${height} pixels, too few to show anything: write alt="" if it is decorative.`,
  );
}

/** `ask`, remembered: each key gives what it gave the first time. */
function once<T>(ask: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const asked = new Map<string, Promise<T>>();
  return (key) => {
    const known = asked.get(key) ?? ask(key);
    asked.set(key, known);
    return known;
  };
}
