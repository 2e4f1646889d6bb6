/**
 * The words of a BLIP model, from vocab.txt as transformers 4 writes it, from tokenizer.json as version 5 does, or
 * from both, which must then agree. Settings under which the bundle's tokenizer would read text differently are
 * refused by name.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { VOCABULARY_FILE } from "../../bundle/bundle.ts";
import { fileExists } from "../../bundle/file-exists.ts";
import { gitLfsAdvice, readJsonFile } from "../../bundle/json-file.ts";
import { SPECIAL_TOKENS, UNKNOWN } from "../../bundle/tokenizer.ts";
import { WeightError } from "../weights/weights.ts";
import type { TextConfig } from "./config.ts";

export interface Vocabulary {
  /** Tokens by id. */
  readonly tokens: readonly string[];
  readonly lowerCase: boolean;
}

/** BLIP's own tokens past the vocabulary, [DEC] and [ENC], which have no text. */
const MARKERS = 2;

const TOKENIZER_CONFIG_FILE = "tokenizer_config.json";
const TokenizerConfig = z.looseObject({
  do_lower_case: z.boolean().nullish(),
  strip_accents: z.boolean().nullish(),
  tokenize_chinese_chars: z.boolean().nullish(),
});

const AddedToken = z.looseObject({
  id: z.number().int().nonnegative(),
  content: z.string(),
  special: z.boolean().default(false),
});
const TokenizerFile = z.looseObject({
  added_tokens: z.array(AddedToken).default([]),
  normalizer: z
    .looseObject({
      type: z.literal("BertNormalizer"),
      clean_text: z.literal(true),
      handle_chinese_chars: z.literal(true),
      strip_accents: z.null(),
      lowercase: z.boolean(),
    })
    .describe("BERT's own normalizer with its defaults"),
  pre_tokenizer: z.looseObject({ type: z.literal("BertPreTokenizer") }),
  decoder: z
    .looseObject({ type: z.literal("WordPiece"), prefix: z.literal("##"), cleanup: z.literal(true) })
    .nullish(),
  model: z.looseObject({
    type: z.literal("WordPiece"),
    continuing_subword_prefix: z.literal("##"),
    vocab: z.record(z.string(), z.number().int().nonnegative()),
  }),
});

/** Reads the vocabulary of a model folder. @throws WeightError naming the file and what is wrong with it */
export async function readVocabulary(folder: string, config: TextConfig): Promise<Vocabulary> {
  const textPath = join(folder, VOCABULARY_FILE);
  const jsonPath = join(folder, "tokenizer.json");
  const fromText = (await fileExists(textPath)) ? await readTokens(textPath) : undefined;
  const fromJson = (await fileExists(jsonPath)) ? await readTokenizer(jsonPath) : undefined;
  if (fromText && fromJson) requireSameTokens(folder, fromText, fromJson.tokens);
  // Words that were added to a tokenizer are only in tokenizer.json.
  const [tokens] = [fromText, fromJson?.tokens]
    .filter((tokens) => tokens !== undefined)
    .sort((a, b) => b.length - a.length);
  if (tokens === undefined) {
    throw new WeightError(
      `${folder} has neither ${VOCABULARY_FILE} nor tokenizer.json. Save the model's tokenizer there: tokenizer.save_pretrained(...).`,
    );
  }
  requireFit(folder, tokens, config);
  requireWords(folder, tokens);
  const settings = await readTokenizerConfig(folder);
  const configured = settings.do_lower_case ?? undefined;
  const lowerCase = fromJson?.lowerCase ?? configured ?? true;
  if (fromJson && configured !== undefined && configured !== fromJson.lowerCase) {
    throw new WeightError(
      `${folder}: tokenizer_config.json says do_lower_case ${configured}, tokenizer.json says ${fromJson.lowerCase}. Save the tokenizer again.`,
    );
  }
  requireBertsNormalizer(folder, settings, lowerCase);
  return { tokens, lowerCase };
}

async function readTokens(path: string): Promise<string[]> {
  const text = decodeText(await readFile(path), path);
  const advice = gitLfsAdvice(path, text);
  if (advice !== undefined) throw new WeightError(advice);
  return text.replace(/\r?\n$/, "").split(/\r?\n/);
}

/** The text without a byte order mark. */
function decodeText(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new WeightError(
      `${path} is not in UTF-8: an editor saved it in another encoding. Fetch it again.`,
      {
        cause,
      },
    );
  }
}

async function readTokenizer(path: string): Promise<Vocabulary> {
  const { model, added_tokens, normalizer } = await readJsonFile(path, TokenizerFile, WeightError);
  // Keyed by id: an array would become as long as the largest id, which may be far past the others.
  const known = new Map<number, string>();
  const entries = [
    ...Object.entries(model.vocab),
    ...added_tokens.map(({ id, content }) => [content, id] as const),
  ];
  for (const [token, id] of entries) {
    const other = known.get(id);
    if (other !== undefined && other !== token) {
      throw new WeightError(`${path} gives id ${id} to '${other}' and to '${token}'.`);
    }
    known.set(id, token);
  }
  const other = added_tokens.find(({ content, special }) => special && !SPECIAL_TOKENS.includes(content));
  if (other) {
    throw new WeightError(
      `${path} has the special token '${other.content}', which is neither BERT's nor BLIP's: captions would show it as a ` +
        "word. If they should, save the tokenizer with it as an ordinary token.",
    );
  }
  const tokens = Array.from({ length: known.size }, (_, id) => {
    const token = known.get(id);
    if (token === undefined) throw new WeightError(`${path} has no token with id ${id}.`);
    return token;
  });
  return { tokens, lowerCase: normalizer.lowercase };
}

/** The two files may differ only in the markers at the end, which one of them may leave out. */
function requireSameTokens(folder: string, text: readonly string[], json: readonly string[]): void {
  const shared = Math.min(text.length, json.length);
  const other = text.slice(0, shared).findIndex((token, id) => token !== json[id]);
  if (other === -1 && Math.abs(text.length - json.length) <= MARKERS) return;
  const where = other === -1 ? shared : other;
  throw new WeightError(
    `${folder}: ${VOCABULARY_FILE} and tokenizer.json hold different vocabularies: id ${where} is ` +
      `'${text[where] ?? "nothing"}' in one and '${json[where] ?? "nothing"}' in the other. Remove the one that is not the model's.`,
  );
}

/**
 * Checks what a tokenizer needs. If a token had two ids, the tokenizer would lose one and leave that word out of
 * captions.
 */
function requireWords(folder: string, tokens: readonly string[]): void {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const twice = tokens.find((token, id) => ids.get(token) !== id);
  if (twice !== undefined) {
    throw new WeightError(
      `${folder}: the vocabulary gives ids ${tokens.indexOf(twice)} and ${ids.get(twice)} to '${twice}'. Was it edited? Fetch it again.`,
    );
  }
  // The bundle's vocabulary has one token per line.
  const broken = tokens.findIndex((token) => /[\r\n]/.test(token));
  if (broken !== -1) throw new WeightError(`${folder}: the token with id ${broken} contains a line break.`);
  if (!ids.has(UNKNOWN)) {
    throw new WeightError(
      `${folder}: the vocabulary has no ${UNKNOWN}, which stands for what it cannot spell.`,
    );
  }
}

/**
 * Checks that every id the model can produce has a token, except BLIP's markers, which come last, the begin token
 * first.
 */
function requireFit(folder: string, tokens: readonly string[], config: TextConfig): void {
  const { vocab_size: size, bos_token_id: begin } = config;
  const missing = size - tokens.length;
  if (missing < 0) {
    throw new WeightError(
      `${folder}: the vocabulary has ${tokens.length} tokens, the model ${size}: they belong to different models.`,
    );
  }
  if (missing > MARKERS || (missing > 0 && begin !== tokens.length)) {
    throw new WeightError(
      `${folder}: the vocabulary ends at id ${tokens.length - 1}, but the model uses ids up to ${size - 1}` +
        `${missing > 0 && begin < tokens.length ? "" : ` and begins with ${begin}`}. Was it saved or copied whole?`,
    );
  }
}

async function readTokenizerConfig(folder: string): Promise<z.infer<typeof TokenizerConfig>> {
  const path = join(folder, TOKENIZER_CONFIG_FILE);
  return (await fileExists(path)) ? readJsonFile(path, TokenizerConfig, WeightError) : {};
}

/**
 * Checks settings that tokenizer.json states in its normalizer.
 * @throws WeightError if they would change a prompt's words
 */
function requireBertsNormalizer(
  folder: string,
  { strip_accents: strips, tokenize_chinese_chars: splits }: z.infer<typeof TokenizerConfig>,
  lowerCase: boolean,
): void {
  // By default, accents are stripped if capitals are lowered.
  const hasOwnAccents = (strips ?? lowerCase) !== lowerCase;
  if (!hasOwnAccents && splits !== false) return;
  const other = hasOwnAccents ? `strip_accents: ${strips}` : "tokenize_chinese_chars: false";
  throw new WeightError(
    `${join(folder, TOKENIZER_CONFIG_FILE)} says ${other}, which is not supported here: a prompt would become different tokens.`,
  );
}
