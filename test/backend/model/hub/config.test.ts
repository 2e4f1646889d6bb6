import { homedir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseHubConfig } from "../../../../backend/model/hub/config.ts";
import { HubError } from "../../../../backend/model/hub/hub-error.ts";

test("an empty variable counts as unset", () => {
  const empty = { HF_TOKEN: "", HF_ENDPOINT: "", HF_HOME: "", HF_HUB_CACHE: "", HF_HUB_OFFLINE: "" };
  expect(parseHubConfig(empty)).toEqual(parseHubConfig({}));
});

test.each([
  ["hf_secret\n", "hf_secret"],
  [" hf_secret", "hf_secret"],
  ["\n", undefined],
])("HF_TOKEN=%j", (HF_TOKEN, token) => {
  expect(parseHubConfig({ HF_TOKEN }).token).toBe(token);
});

test.each([
  ["1", true],
  ["true", true],
  ["YES", true],
  ["0", false],
])("HF_HUB_OFFLINE=%s", (HF_HUB_OFFLINE, offline) => {
  expect(parseHubConfig({ HF_HUB_OFFLINE }).offline).toBe(offline);
});

test.each([
  [{ HF_HOME: "~/models" }, join(homedir(), "models/hub")],
  [{ HF_HUB_CACHE: "~" }, homedir()],
  [{ XDG_CACHE_HOME: "$DATA/cache", DATA: "/data" }, "/data/cache/huggingface/hub"],
  [{ HF_HUB_CACHE: `$${"{DATA}"}/hub`, DATA: "/data" }, "/data/hub"],
  [{ HF_HUB_CACHE: "/~/$NONE" }, "/~/$NONE"],
])("the cache of %o lies where other Hugging Face tools look for it", (variables, cache) => {
  expect(parseHubConfig(variables).cache).toBe(cache);
});

test("a wrong variable is named", () => {
  const parsing = () => parseHubConfig({ HF_ENDPOINT: "hub.example.org" });
  expect(parsing).toThrow(HubError);
  expect(parsing).toThrow(/^HF_ENDPOINT: expected an address that begins with http/);
});
