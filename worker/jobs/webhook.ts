/**
 * Sends signed events to the address that a job names, as Standard Webhooks specifies (https://www.standardwebhooks.com).
 * The address and every redirect are checked as those of pictures are; only the status of an answer is read.
 */

import { refuseAddress } from "../intake/url/address-policy.ts";
import { WEBHOOK_REDIRECTS, WEBHOOK_TIMEOUT_MS } from "./limits.ts";

export interface Delivery {
  /** The same at every try, so that the receiver can recognize a repeat. */
  readonly id: string;
  readonly url: string;
  readonly secret: string;
  /** JSON. */
  readonly body: string;
}

/** `refused`: no further try can succeed, because the address may not be called, or its owner says that it is gone (410). */
export type DeliveryOutcome = "delivered" | "failed" | "refused";

/** Redirects that keep method and body, RFC 9110 section 15.4. */
const REDIRECTS: ReadonlySet<number> = new Set([307, 308]);
const GONE = 410;

/** A secret of 192 random bits in the form that Standard Webhooks prescribes. */
export function newWebhookSecret(): string {
  return `whsec_${crypto.getRandomValues(new Uint8Array(24)).toBase64()}`;
}

/** One try. Never throws. */
export async function deliver(
  { id, url, secret, body }: Delivery,
  options: {
    readonly fetch: typeof fetch;
    /** `host:port` that may be called although they are not public. */
    readonly allowedHosts: readonly string[];
    readonly now: () => number;
  },
): Promise<DeliveryOutcome> {
  // Loaded when the first event is sent, not at every start.
  const { Webhook } = await import("standardwebhooks");
  const timestamp = new Date(options.now());
  const headers = {
    "content-type": "application/json",
    "user-agent": "alt-text-edge",
    "webhook-id": id,
    "webhook-timestamp": String(Math.floor(timestamp.getTime() / 1000)),
    "webhook-signature": new Webhook(secret).sign(id, timestamp, body),
  };
  const signal = AbortSignal.timeout(WEBHOOK_TIMEOUT_MS);
  try {
    let target = new URL(url);
    for (let redirects = 0; redirects <= WEBHOOK_REDIRECTS; redirects++) {
      if (refuseAddress(target, options.allowedHosts) !== undefined) return "refused";
      const response = await options.fetch(target.href, {
        method: "POST",
        body,
        headers,
        redirect: "manual",
        signal,
      });
      await response.body?.cancel();
      if (response.ok) return "delivered";
      if (response.status === GONE) return "refused";
      const location = response.headers.get("location");
      if (!REDIRECTS.has(response.status) || location === null || !URL.canParse(location, target.href))
        return "failed";
      target = new URL(location, target);
    }
  } catch {
    // Unreachable, or too slow: the next try may fare better.
  }
  return "failed";
}
