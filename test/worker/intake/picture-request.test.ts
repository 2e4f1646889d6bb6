import { describe, expect, test } from "vitest";
import { Caption } from "../../../shared/schema.ts";
import { startEdge } from "../support/edge.ts";
import { post, problemOf, useFakeNetwork } from "../support/edge-test.ts";
import { base64Of, hashOf, newPicture } from "../support/pictures.ts";

const network = useFakeNetwork();

const send = (body: NonNullable<RequestInit["body"]>, type: string, path = "/v1/captions") =>
  startEdge().fetch(path, { method: "POST", body, headers: { "content-type": type } });

test("a picture that is called JSON is read as a picture, because generated clients call everything they send JSON", async () => {
  network().backend("backend-a.test");
  const { id } = Caption.parse(await (await send(newPicture(), "application/json")).json()).model;
  const named = await send(newPicture(), "application/json", `/models/${id}`);
  expect(await named.json()).toEqual([{ generated_text: "a dog runs on the beach" }]);
  for (const path of ["/v1/captions", `/models/${id}`]) {
    const large = await send(newPicture(21 * 1024 * 1024), "application/json", path);
    expect((await problemOf(large)).code).toBe("image-too-large");
  }
});

/** A multipart body with CRLF line ends; binary parts as they are. */
function multipart(
  ...parts: readonly (readonly [headers: Uint8Array | string, body: Uint8Array | string])[]
): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder();
  const pieces = parts.flatMap(([headers, body]) => [
    text.encode("--b\r\n"),
    typeof headers === "string" ? text.encode(headers.replaceAll("\n", "\r\n")) : headers,
    text.encode("\r\n\r\n"),
    typeof body === "string" ? text.encode(body) : body,
    text.encode("\r\n"),
  ]);
  pieces.push(text.encode("--b--\r\n"));
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  pieces.reduce((at, piece) => {
    whole.set(piece, at);
    return at + piece.length;
  }, 0);
  return whole;
}

const FORM = "multipart/form-data; boundary=b";

describe("forms", () => {
  test.each([
    [
      "without quotes, as .NET writes it",
      "Content-Disposition: form-data; name=image; filename=p.png; filename*=utf-8''p.png\nContent-Type: image/png",
    ],
    [
      "with headers in another order and case",
      'content-TYPE: image/png\nCONTENT-disposition: Form-Data; FileName="a;b\\"c.png"; NAME="image"',
    ],
    [
      "with an extended name alone",
      "Content-Disposition: form-data; name=image; filename*=UTF-8''%e2%82%ac.png",
    ],
    ["in the field file", 'Content-Disposition: form-data; name="file"; filename="p.png"'],
    ["in the field data", 'Content-Disposition: form-data; name="data"; filename="p.png"'],
    [
      "whose name is not in UTF-8, as of curl on Windows",
      Uint8Array.from(
        'Content-Disposition: form-data; name="image"; filename="gr\u00f6\u00dfe.png"',
        (letter) => letter.charCodeAt(0),
      ),
    ],
    ["without a name, as the value of its field", 'Content-Disposition: form-data; name="image"'],
  ])("a file %s", async (_name, headers) => {
    network().backend("backend-a.test");
    const picture = newPicture();
    const response = await send(multipart([headers, picture]), FORM);
    expect(Caption.parse(await response.json()).sha256).toBe(await hashOf(picture));
  });

  test("blank fields mean that nothing was given; others are options", async () => {
    const backend = network().backend("backend-a.test");
    const blank = (name: string, value: string) =>
      [`Content-Disposition: form-data; name="${name}"`, value] as const;
    const file = ['Content-Disposition: form-data; name="image"; filename="p.png"', newPicture()] as const;
    const response = await send(
      multipart(blank("prompt", " "), blank("num_beams", ""), blank("max_new_tokens", "7"), file),
      FORM,
    );
    expect(response.status).toBe(200);
    expect(new URL(backend.requests[0]?.url ?? "").searchParams.toString()).toBe("max_new_tokens=7");
  });

  test("of several file inputs only one may be used; two pictures are refused, because one would be ignored", async () => {
    network().backend("backend-a.test");
    const file = (name: string, body: Uint8Array | string) =>
      [`Content-Disposition: form-data; name="${name}"; filename="p.png"`, body] as const;
    const picture = newPicture();
    const unused = await send(multipart(file("image", ""), file("file", picture), file("file", "")), FORM);
    expect(Caption.parse(await unused.json()).sha256).toBe(await hashOf(picture));
    for (const second of ["image", "file"]) {
      const problem = await problemOf(
        await send(multipart(file("image", picture), file(second, newPicture())), FORM),
      );
      expect(problem).toMatchObject({ code: "bad-request", detail: expect.stringContaining("got 2") });
    }
  });

  test("one picture given in two ways is refused, because one of them would be ignored", async () => {
    network().backend("backend-a.test");
    const file = (body: Uint8Array | string) =>
      ['Content-Disposition: form-data; name="image"; filename="p.png"', body] as const;
    const field = (name: string, text: string) =>
      [`Content-Disposition: form-data; name="${name}"`, text] as const;
    const address = "https://pictures.example.org/a.png";
    const base64 = base64Of(newPicture());
    const urlencoded = (...fields: [string, string][]) =>
      send(new URLSearchParams(fields).toString(), "application/x-www-form-urlencoded");
    for (const [fields, response] of [
      ["image, url", await send(multipart(file(newPicture()), field("url", address)), FORM)],
      ["data, url", await send(multipart(field("data", base64), field("url", address)), FORM)],
      ["image, file", await send(multipart(file(newPicture()), field("file", base64)), FORM)],
      ["image, url", await urlencoded(["image", base64], ["url", address])],
      ["image, image", await urlencoded(["image", base64], ["image", base64Of(newPicture())])],
      ["url, url", await urlencoded(["url", address], ["url", `${address}?other`])],
    ] as const) {
      const { code, detail } = await problemOf(response);
      expect([code, detail]).toEqual(["bad-request", expect.stringContaining(`got 2 (${fields})`)]);
    }
  });

  test("an address counts beside an unused file input", async () => {
    network().backend("backend-a.test");
    const picture = newPicture();
    network().pages.set("https://pictures.example.org/a.png", () => new Response(picture));
    const form = multipart(
      ['Content-Disposition: form-data; name="image"; filename=""', ""],
      ['Content-Disposition: form-data; name="url"', "https://pictures.example.org/a.png"],
    );
    expect(Caption.parse(await (await send(form, FORM)).json()).sha256).toBe(await hashOf(picture));
  });

  test("with other field names is told which field holds the picture; other text is not a form", async () => {
    const answer = async (body: string) => problemOf(await send(body, "application/x-www-form-urlencoded"));
    for (const body of ["uri=https%3A%2F%2Fpictures.example.org%2Fa.png", "prompt=a+dog"]) {
      const detail = expect.stringMatching(/The form has no picture: .*"image".*"url"/);
      expect(await answer(body)).toMatchObject({ code: "empty-body", detail });
    }
    expect(await answer("hello")).toMatchObject({ code: "not-an-image" });
  });

  test("text that is base64 in the picture's field, urlencoded or not", async () => {
    network().backend("backend-a.test");
    const picture = newPicture();
    const asField = multipart(['Content-Disposition: form-data; name="image"', base64Of(picture)]);
    const asQuery = new URLSearchParams({ image: base64Of(picture) }).toString();
    for (const response of [
      await send(asField, FORM),
      await send(asQuery, "application/x-www-form-urlencoded"),
    ]) {
      expect(Caption.parse(await response.json()).sha256).toBe(await hashOf(picture));
    }
  });

  test("base64 whose plus signs are not encoded, as curl -d sends it", async () => {
    network().backend("backend-a.test");
    const picture = newPicture();
    // Three bytes of which each base64 has four plus signs.
    picture.set([0xfb, 0xef, 0xbe], 12);
    expect(base64Of(picture)).toContain("++++");
    const response = await send(`image=${base64Of(picture)}`, "application/x-www-form-urlencoded");
    expect(Caption.parse(await response.json()).sha256).toBe(await hashOf(picture));
  });

  test("an address in the field url", async () => {
    network().backend("backend-a.test");
    const picture = newPicture();
    network().pages.set("https://pictures.example.org/a.png", () => new Response(picture));
    const response = await send(
      "url=https%3A%2F%2Fpictures.example.org%2Fa.png",
      "application/x-www-form-urlencoded",
    );
    expect(Caption.parse(await response.json()).sha256).toBe(await hashOf(picture));
  });

  test.each([
    [
      "a prompt that is not in UTF-8",
      multipart(['Content-Disposition: form-data; name="prompt"', Uint8Array.of(0xf6)]),
      "bad-options",
    ],
    [
      "a picture that is neither one nor text",
      multipart(['Content-Disposition: form-data; name="image"', Uint8Array.of(0xf6)]),
      "bad-request",
    ],
    ["no picture", multipart(['Content-Disposition: form-data; name="prompt"', "a dog"]), "empty-body"],
    ["no end", multipart(['Content-Disposition: form-data; name="image"', "x"]).slice(0, -8), "bad-request"],
  ])("a form with %s", async (_name, body, code) => {
    expect((await problemOf(await send(body, FORM))).code).toBe(code);
  });
});

describe("JSON", () => {
  test.each([
    "application/problem+json",
    "text/json",
    "APPLICATION/JSON; charset=utf-8",
    "application/x-www-form-urlencoded",
  ])("sent as %s is read", async (type) => {
    network().backend("backend-a.test");
    const picture = newPicture();
    const response = await send(JSON.stringify({ image: base64Of(picture), url: null, prompt: null }), type);
    expect(Caption.parse(await response.json()).sha256).toBe(await hashOf(picture));
  });

  test("sent as something else is answered with the header to set", async () => {
    const problem = await problemOf(await send('{"image": "AAAA"}', "text/plain"));
    expect(problem).toMatchObject({
      code: "not-an-image",
      detail: expect.stringContaining("content-type: application/json"),
    });
  });

  test("base64 of other alphabets and with white space", async () => {
    network().backend("backend-a.test");
    const picture = newPicture(600);
    const plain = base64Of(picture);
    const wrapped = plain.replace(/.{76}/g, "$&\r\n");
    for (const image of [
      plain.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, ""),
      wrapped,
      ` data:image/png;base64,${wrapped}`,
      `data:image/png;charset=utf-8; base64,${encodeURIComponent(plain)}`,
    ]) {
      const response = await send(JSON.stringify({ image }), "application/json");
      expect(Caption.parse(await response.json()).sha256).toBe(await hashOf(picture));
    }
  });

  test("base64 with any number of padding signs inside it is refused without trying them one by one", async () => {
    const response = await send(JSON.stringify({ image: `${"=".repeat(4_000_000)}A` }), "application/json");
    expect(await problemOf(response)).toMatchObject({
      code: "bad-request",
      detail: "The picture is not base64.",
    });
  });
});

test("a form with more fields than are allowed is refused unread", async () => {
  const fields = "a=1&".repeat(100);
  expect(await problemOf(await send(fields, "application/x-www-form-urlencoded"))).toMatchObject({
    code: "bad-request",
    detail: "The form has more than 100 fields.",
  });
  const text = await problemOf(await send("&".repeat(100), "application/x-www-form-urlencoded"));
  expect(text.code).toBe("not-an-image");
});

test("an option that is given twice is refused by name, in a query and in a form", async () => {
  network().backend("backend-a.test");
  const picture = newPicture();
  const path = `/v1/captions/${await hashOf(picture)}`;
  const beams = (count: string) => ['Content-Disposition: form-data; name="num_beams"', count] as const;
  const file = ['Content-Disposition: form-data; name="image"; filename="p.png"', picture] as const;
  const twice = "num_beams=2&num_beams=3";
  for (const response of [
    await startEdge().fetch(`/v1/captions?${twice}`, post(picture)),
    await startEdge().fetch(`${path}?${twice}`),
    await startEdge().fetch(`${path}?${twice}`, { method: "DELETE" }),
    await startEdge().fetch(`/models/tiny/blip?${twice}`, post(picture)),
    await send(JSON.stringify({ items: [{}] }), "application/json", `/v1/captions/batch?${twice}`),
    await send(JSON.stringify({ items: [{}] }), "application/json", `/v1/jobs?${twice}`),
    await send(multipart(beams("2"), beams("3"), file), FORM),
    await send(`image=${base64Of(picture)}&${twice}`, "application/x-www-form-urlencoded"),
  ]) {
    const { code, detail } = await problemOf(response);
    expect([code, detail]).toEqual(["bad-options", "num_beams: expected one value, got several"]);
  }
  expect((await startEdge().fetch("/v1/captions?num_beams=&num_beams=3", post(picture))).status).toBe(200);
});

test("an option that is not UTF-8 is refused by name, and not read as U+FFFD", async () => {
  network().backend("backend-a.test");
  for (const response of [
    await startEdge().fetch("/v1/captions?prompt=caf%e9", post(newPicture())),
    await send(`image=${base64Of(newPicture())}&prompt=caf%e9`, "application/x-www-form-urlencoded"),
  ]) {
    const { code, detail } = await problemOf(response);
    expect([code, detail]).toEqual(["bad-options", "prompt: expected text in UTF-8"]);
  }
  expect((await startEdge().fetch("/v1/captions?prompt=caf%c3%a9", post(newPicture()))).status).toBe(200);
});

test("options of the body override those of the query", async () => {
  const backend = network().backend("backend-a.test");
  const body = JSON.stringify({ image: base64Of(newPicture()), num_beams: 3 });
  await send(body, "application/json", "/v1/captions?num_beams=5&max_new_tokens=9");
  const asked = new URL(backend.requests[0]?.url ?? "").searchParams;
  expect([asked.get("num_beams"), asked.get("max_new_tokens")]).toEqual(["3", "9"]);
});

test.each(["/v1/captions", "/models/tiny/blip"])(
  "a coded body is refused by the coding's name: %s",
  async (path) => {
    network().backend("backend-a.test");
    const init = { ...post(newPicture()), headers: { "content-encoding": "gzip" } };
    const response = await startEdge().fetch(path, init);
    expect(response.status).toBe(415);
    expect(await problemOf(response)).toMatchObject({
      code: "unsupported-encoding",
      detail: expect.stringContaining("gzip"),
    });
  },
);

test.each([
  ["nothing", () => new Response("")],
  ["204", () => new Response(null, { status: 204 })],
])("an address that answers %s is unreachable", async (_name, answer) => {
  network().backend("backend-a.test");
  network().pages.set("https://pictures.example.org/none.png", answer);
  const response = await send('{"url": "https://pictures.example.org/none.png"}', "application/json");
  expect((await problemOf(response)).code).toBe("url-unreachable");
});

test("Hugging Face's options are read in every place, and the most direct place wins", async () => {
  const backend = network().backend("backend-a.test");
  const parameters = {
    generation_parameters: { max_new_tokens: 5, num_beams: 2 },
    generate_kwargs: { max_new_tokens: 6 },
    num_beams: null,
  };
  const body = JSON.stringify({ inputs: base64Of(newPicture()), parameters });
  expect((await send(body, "application/json", "/models/tiny/blip")).status).toBe(200);
  const asked = new URL(backend.requests[0]?.url ?? "").searchParams;
  expect([asked.get("num_beams"), asked.get("max_new_tokens")]).toEqual(["2", "6"]);
});

test.each([
  [
    "without a boundary in its content-type, as a program sets it by hand",
    "multipart/form-data",
    "names no boundary",
  ],
  ["with another boundary than its content-type names", `${FORM}x`, "after the last part"],
])("a form %s is refused with what to do", async (_name, type, words) => {
  const file = ['Content-Disposition: form-data; name="image"; filename="p.png"', newPicture()] as const;
  const problem = await problemOf(await send(multipart(file), type));
  expect(problem).toMatchObject({ code: "bad-request", detail: expect.stringContaining(words) });
});
