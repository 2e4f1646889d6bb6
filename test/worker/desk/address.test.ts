import { expect, test } from "vitest";
import { isWebAddress } from "../../../worker/desk/address.ts";

test.each(["https://a.example/b%20c.jpg", "HTTPS://a.example/b.jpg", "http://a.example/ü.jpg"])(
  "%j is an address",
  (text) => expect(isWebAddress(text)).toBe(true),
);

test.each([
  "",
  "a.jpg",
  "ftp://a.example/b.jpg",
  "https://a.example/b c.jpg",
  "https://",
  "see https://a.example",
])("%j is none", (text) => expect(isWebAddress(text)).toBe(false));
