import { expect, test } from "vitest";
import * as z from "zod";
import { expectation, fieldExpectation } from "../../shared/expectation.ts";
import { JobWebhook } from "../../shared/jobs.ts";
import { Sha256, WebAddress } from "../../shared/schema.ts";

const Port = z.coerce.number().int().min(0).max(65_535);

test.each<[z.core.$ZodType, unknown, string]>([
  [Port, "eighty", "expected a number"],
  [Port, "1.5", "expected a whole number"],
  [Port, "-1", "expected at least 0"],
  [Port, "70000", "expected at most 65535"],
  [z.number().positive(), 0, "expected more than 0"],
  [z.enum(["open", "keys"]), "all", "expected one of open, keys"],
  [z.literal("GET"), "PUT", "expected GET"],
  [z.string(), undefined, "expected a text"],
  [z.array(z.string()), {}, "expected a list"],
  [z.string("expected a secret"), 1, "expected a secret"],
  [z.string().min(16), "short", "expected at least 16 characters"],
  [WebAddress, "ftp://a.test", "expected an address that begins with http:// or https://"],
  [WebAddress, "https://a.test:99999/p.png", "expected an address with a valid host and port"],
  [WebAddress, "http://1.2.3.4.5/p.png", "expected an address with a valid host and port"],
  [WebAddress, "http:/a.test/p.png", "expected an address that begins with http:// or https://"],
  [Sha256, "abc", "expected a SHA-256 as 64 lower-case hexadecimal digits"],
  [JobWebhook, "ftp://a.test", "expected an address that begins with http:// or https://"],
  [
    JobWebhook,
    { url: "https://a.test", events: ["done"] },
    "events.0: expected one of caption.job.completed, caption.job.chunk",
  ],
  [JobWebhook, 5, "expected an address that begins with http:// or https://, or an object"],
  [z.array(z.unknown()).max(1), [1, 2], "expected at most 1 items"],
  [z.strictObject({}), { colour: 1, size: 2 }, 'there is no field "colour", "size"'],
  [z.object({ id: z.string() }), {}, "expected a text"],
])("%#: %j is answered in words", (schema, value, words) => {
  const issues = z.safeParse(schema, value).error?.issues ?? [];
  expect(issues.map(expectation)).toEqual([words]);
});

test("the field stands in front, and nothing if the whole value is at fault", () => {
  const schema = z.object({ parameters: z.object({ num_beams: z.number() }) });
  const of = (value: unknown) => (schema.safeParse(value).error?.issues ?? []).map(fieldExpectation);
  expect(of({ parameters: { num_beams: "x" } })).toEqual(["parameters.num_beams: expected a number"]);
  expect(of(1)).toEqual(["expected an object"]);
});
