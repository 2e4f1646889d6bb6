/**
 * Which addresses may be fetched on a caller's behalf: public http(s) ones, and no others. No I/O.
 *
 * The URL parser has already turned every spelling of an IPv4 address (decimal, octal, hexadecimal, short) into four
 * decimal numbers; IPv6 forms that carry an IPv4 address (mapped, NAT64, 6to4, Teredo) are ranges of their own. This cannot
 * see what a public name resolves to; docs/edge.md says what closes that gap.
 */

import ipaddr from "ipaddr.js";
import type { Failure } from "../../../shared/problem.ts";

/** Names that are never public: RFC 6761, RFC 6762, RFC 8375, RFC 9476, and those in common use behind firewalls. */
const PRIVATE_SUFFIXES = [
  "localhost",
  "localdomain",
  "local",
  "internal",
  "intranet",
  "private",
  "corp",
  "home",
  "lan",
  "svc",
  "cluster",
  "home.arpa",
  "test",
  "invalid",
  "example",
  "onion",
  "alt",
];

/** Why `url` may not be fetched; undefined when it may. `allowedHosts` are `host:port` and pass unchecked. */
export function refuseAddress(url: URL, allowedHosts: readonly string[]): Failure | undefined {
  if (url.protocol !== "http:" && url.protocol !== "https:")
    return refused("only http and https are fetched");
  if (url.username !== "" || url.password !== "")
    return refused("an address with credentials is not fetched");
  if (allowedHosts.includes(`${url.hostname}:${portOf(url)}`)) return undefined;
  if (url.port !== "") return refused("only the default ports are fetched");
  // A trailing dot names the same host, RFC 1034 section 3.1.
  const host = url.hostname.replace(/\.$/, "").toLowerCase();
  if (host.split(".").includes("")) return refused("the name has an empty label");
  const literal = host.startsWith("[") ? host.slice(1, -1) : host;
  if (ipaddr.isValid(literal)) {
    return isPublic(ipaddr.parse(literal)) ? undefined : refused("the address is not public");
  }
  const isPrivate = PRIVATE_SUFFIXES.some((suffix) => host === suffix || host.endsWith(`.${suffix}`));
  return isPrivate || !host.includes(".") ? refused("the name is not public") : undefined;
}

/**
 * Whether the address is one that the Internet assigns. For IPv6 that is nothing outside 2000::/3, whatever other ranges
 * there are or will be.
 */
function isPublic(address: ipaddr.IPv4 | ipaddr.IPv6): boolean {
  if (address.range() !== "unicast") return false;
  return address instanceof ipaddr.IPv4 || address.match(ipaddr.IPv6.parse("2000::"), 3);
}

function portOf(url: URL): string {
  return url.port || (url.protocol === "https:" ? "443" : "80");
}

function refused(reason: string): Failure {
  return { code: "url-refused", detail: `The address may not be fetched: ${reason}.` };
}
