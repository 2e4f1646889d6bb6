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

export type DeliveryAnswer =
  | { readonly outcome: "delivered" }
  | {
      readonly outcome: Exclude<DeliveryOutcome, "delivered">;
      /** For the job's owner, in our words: as with pictures, what the other side says is not passed on. */
      readonly reason: string;
    };

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
): Promise<DeliveryAnswer> {
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
      const refusal = refuseAddress(target, options.allowedHosts);
      if (refusal !== undefined) return { outcome: "refused", reason: refusal.detail };
      const response = await options.fetch(target.href, {
        method: "POST",
        body,
        headers,
        redirect: "manual",
        signal,
      });
      await response.body?.cancel();
      if (response.ok) return { outcome: "delivered" };
      if (response.status === GONE)
        return { outcome: "refused", reason: "It answered that it is gone (410)." };
      const location = response.headers.get("location");
      const isRedirect = response.status >= 300 && response.status < 400 && location !== null;
      if (!isRedirect) return failed("It did not answer with success (2xx).");
      if (!REDIRECTS.has(response.status)) return failed("It redirects, and not with 307 or 308.");
      if (!URL.canParse(location, target.href)) return failed("It redirects without a valid address.");
      target = new URL(location, target);
    }
    return failed(`It redirects more than ${WEBHOOK_REDIRECTS} times.`);
  } catch {
    // The next try may fare better.
    return failed(
      signal.aborted
        ? `It did not answer within ${WEBHOOK_TIMEOUT_MS / 1000} s.`
        : "It could not be reached, or hung up.",
    );
  }
}

function failed(reason: string): DeliveryAnswer {
  return { outcome: "failed", reason };
}
