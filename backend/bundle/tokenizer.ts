/** BERT's WordPiece over a bundle's vocab.txt, by Hugging Face's own JavaScript tokenizers. Devlin et al. 2018. */

import { readFile } from "node:fs/promises";
import { Tokenizer as WordPieceTokenizer } from "@huggingface/tokenizers";
import type { Bundle } from "./bundle.ts";

export interface Tokenizer {
  /** Token ids of a prompt, without begin and end tokens, and those of its words that the vocabulary cannot spell. */
  encodePrompt(text: string): { readonly ids: number[]; readonly unknown: readonly string[] };
  /** Text of token ids: pieces are joined, special tokens and spaces before punctuation are left out. */
  decode(tokenIds: readonly number[]): string;
}

/** Token for whatever the vocabulary cannot spell. */
export const UNKNOWN = "[UNK]";
const CONTINUES = "##";
/** BERT's special tokens and BLIP's markers. No caption shows them, whether or not the tokenizer lists them. */
export const SPECIAL_TOKENS: readonly string[] = [
  "[PAD]",
  UNKNOWN,
  "[CLS]",
  "[SEP]",
  "[MASK]",
  "[DEC]",
  "[ENC]",
];

/** Reads the bundle's vocabulary: one token per line, its id being the line number. */
export async function createTokenizer({ manifest, vocabularyPath }: Bundle): Promise<Tokenizer> {
  const tokens = await readTokens(vocabularyPath);
  const vocabulary = new Map(tokens.map((token, id) => [token, id]));
  const wordPiece = new WordPieceTokenizer(tokenizerJson(vocabulary, manifest.tokens.lower_case), {
    tokenizer_class: "BertTokenizer",
    unk_token: UNKNOWN,
    clean_up_tokenization_spaces: true,
  });
  return {
    encodePrompt(text) {
      const encode = (part: string) => wordPiece.encode(part, { add_special_tokens: false }).ids;
      const isUnknown = (word: string) => encode(word).includes(vocabulary.get(UNKNOWN) ?? -1);
      return {
        ids: encode(text),
        unknown: text.split(/\s+/).filter((word) => word !== "" && isUnknown(word)),
      };
    },
    // Ids past the vocabulary are BLIP's markers, in a vocabulary that does not list them.
    decode(tokenIds) {
      const known = tokenIds.filter((id) => id < tokens.length);
      // A piece that continues a word keeps its mark if no word comes before it.
      return known.length === 0
        ? ""
        : wordPiece.decode(known, { skip_special_tokens: true }).replaceAll(CONTINUES, "");
    },
  };
}

/** Reads the tokens of vocab.txt, with Unix or Windows line ends. */
export async function readTokens(vocabularyPath: string): Promise<string[]> {
  return (await readFile(vocabularyPath, "utf8")).replace(/\r?\n$/, "").split(/\r?\n/);
}

/** vocab.txt in the form of tokenizer.json. https://huggingface.co/docs/tokenizers */
function tokenizerJson(vocabulary: ReadonlyMap<string, number>, lowerCase: boolean) {
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.flatMap((content) => {
      const id = vocabulary.get(content);
      if (id === undefined) return [];
      return [
        { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
      ];
    }),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: lowerCase,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: null,
    decoder: { type: "WordPiece", prefix: CONTINUES, cleanup: true },
    model: {
      type: "WordPiece",
      unk_token: UNKNOWN,
      continuing_subword_prefix: CONTINUES,
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocabulary),
    },
  };
}
