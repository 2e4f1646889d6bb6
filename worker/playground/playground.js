/** The playground: sends a picture to this server's own API and shows what came back. No framework, no third party. */

/** @param {string} id */
const at = (id) => {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`No element ${id}: this is a bug`);
  return element;
};
/** @param {string} id */
const fieldValue = (id) => /** @type {HTMLInputElement} */ (at(id)).value.trim();

/** @type {Readonly<Record<string, string>>} */
const LEG_NAMES = {
  intake: "Reading and hashing the picture",
  colo: "Location's cache",
  kv: "Worldwide cache (KV)",
  model: "Asking which model is current",
  joined: "Waiting for the same picture of another request",
  captioner: "Captioner",
};
/** @type {Readonly<Record<string, string>>} */
const TIER_NAMES = {
  memory: "the cache in this server's memory",
  colo: "the cache of this location",
  kv: "the worldwide cache (KV)",
};

/** @typedef {{ file: File } | { url: string }} Picture */
/** @typedef {import("../../shared/schema.ts").Caption} Caption */
/** @type {Picture | undefined} */
let last;
/** @type {string | undefined} */
let previewUrl;
let asked = 0;

/** @param {Picture} picture */
async function caption(picture) {
  last = picture;
  const turn = ++asked;
  at("problem").hidden = true;
  at("status").textContent = "Captioning…";
  const start = performance.now();
  try {
    const response = await fetch(address(), {
      method: "POST",
      headers: headersOf(picture),
      body: "file" in picture ? picture.file : JSON.stringify({ url: picture.url }),
    });
    const answer = await response.json();
    if (turn !== asked) return;
    if (!response.ok) return fail(`${answer.title}. ${answer.detail}`);
    show(picture, answer, response.headers, performance.now() - start);
  } catch {
    if (turn === asked) fail("The server could not be reached. Try again in a moment.");
  }
}

function address() {
  const query = new URLSearchParams();
  for (const id of ["max-length", "num-beams", "prompt"]) {
    if (fieldValue(id) !== "") query.set(id.replace("-", "_"), fieldValue(id));
  }
  return `/v1/captions${query.size > 0 ? `?${query}` : ""}`;
}

/** @param {Picture} picture */
function headersOf(picture) {
  const key = fieldValue("key");
  return {
    "content-type": "file" in picture ? "application/octet-stream" : "application/json",
    ...(key === "" ? {} : { authorization: `Bearer ${key}` }),
  };
}

/**
 * @param {Picture} picture
 * @param {Caption} answer
 * @param {Headers} headers
 * @param {number} totalMs
 */
function show(picture, answer, headers, totalMs) {
  at("alt").textContent = answer.alt;
  at("caption").textContent = answer.caption;
  at("score").textContent = answer.score.toFixed(2);
  at("model").textContent = `${answer.model.id}, revision ${answer.model.revision}`;
  at("review").hidden = !answer.needs_review;
  const tier = (headers.get("cache-status") ?? "").split(";", 1).join("").trim();
  at("tier").textContent = answer.cached ? (TIER_NAMES[tier] ?? tier) : "the captioner, just now";
  at("legs").replaceChildren(...legsOf(headers, totalMs));
  at("curl").textContent = curlLine(picture);
  showPreview(picture, answer.alt);
  at("result").hidden = false;
  at("status").textContent = `Alt text: ${answer.alt}`;
}

/** @param {string} message */
function fail(message) {
  at("result").hidden = true;
  at("status").textContent = "";
  at("problem").textContent = message;
  at("problem").hidden = false;
}

/**
 * @param {Headers} headers
 * @param {number} totalMs
 */
function legsOf(headers, totalMs) {
  /** @type {[name: string, ms: number][]} */
  const legs = [];
  for (const metric of (headers.get("server-timing") ?? "").split(",")) {
    const [, leg, ms] = /^\s*([\w-]+);dur=([\d.]+)/.exec(metric) ?? [];
    if (leg !== undefined) legs.push([LEG_NAMES[leg] ?? leg, Number(ms)]);
  }
  legs.push(["Everything, as this page saw it", totalMs]);
  return legs.map(([name, ms]) => {
    const row = document.createElement("tr");
    const leg = document.createElement("td");
    leg.textContent = name;
    const duration = document.createElement("td");
    duration.textContent = ms.toFixed(1);
    row.append(leg, duration);
    return row;
  });
}

/**
 * @param {Picture} picture
 * @param {string} alt
 */
function showPreview(picture, alt) {
  if (previewUrl !== undefined) URL.revokeObjectURL(previewUrl);
  previewUrl = "file" in picture ? URL.createObjectURL(picture.file) : undefined;
  const preview = /** @type {HTMLImageElement} */ (at("preview"));
  preview.hidden = false;
  preview.onerror = () => {
    preview.hidden = true;
  };
  preview.alt = alt;
  preview.src = "file" in picture ? (previewUrl ?? "") : picture.url;
}

/** @param {Picture} picture */
function curlLine(picture) {
  const target = new URL(address(), location.href).href;
  const key = fieldValue("key") === "" ? "" : ` -H "Authorization: Bearer $API_KEY"`;
  if ("file" in picture)
    return `curl${key} --data-binary @${quoted(picture.file.name || "picture")} ${quoted(target)}`;
  const body = quoted(JSON.stringify({ url: picture.url }));
  return `curl${key} -H "Content-Type: application/json" -d ${body} ${quoted(target)}`;
}

/**
 * One word of a POSIX shell.
 * @param {string} text
 */
function quoted(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * @param {string} text
 * @param {string} what
 */
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    at("status").textContent = `${what} copied.`;
  } catch {
    at("status").textContent = `${what} could not be copied; select it and copy it by hand.`;
  }
}

/** @param {DataTransfer | null} data */
function pictureIn(data) {
  const file = data === null ? undefined : [...data.files].find(({ type }) => type.startsWith("image/"));
  if (file !== undefined) return { file };
  const text = data?.getData("text/uri-list") || data?.getData("text/plain") || "";
  return /^https?:\/\/\S+$/.test(text.trim()) ? { url: text.trim() } : undefined;
}

at("file").addEventListener("change", (event) => {
  const [file] = /** @type {HTMLInputElement} */ (event.target).files ?? [];
  if (file !== undefined) caption({ file });
});
at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const url = fieldValue("url");
  if (URL.canParse(url)) caption({ url });
  else fail("Enter the whole address of a picture, beginning with https://.");
});
at("again").addEventListener("click", () => {
  if (last !== undefined) caption(last);
});
at("copy-alt").addEventListener("click", () => copy(at("alt").textContent ?? "", "Alt text"));
at("copy-curl").addEventListener("click", () => copy(at("curl").textContent ?? "", "The curl line"));

document.addEventListener("paste", (event) => {
  // Text that is pasted into a field belongs there.
  if (event.target instanceof HTMLInputElement && event.clipboardData?.files.length === 0) return;
  const picture = pictureIn(event.clipboardData);
  if (picture !== undefined) caption(picture);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  at("drop").classList.add("over");
});
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  const picture = pictureIn(event.dataTransfer);
  if (picture === undefined) fail("That was not a picture.");
  else caption(picture);
});
