/**
 * Stands in the deployed script for `@huggingface/tasks` and `@huggingface/jinja`: `@huggingface/inference` writes code samples
 * with them, which nobody here asks for, and nothing else. They are 290 KiB. See `[alias]` in wrangler.toml.
 */

const refused = () => {
  throw new Error("This is a bug: code samples are not part of the worker.");
};

export class Template {
  render = refused;
}
export const getModelInputSnippet = refused;
export const inferenceSnippetLanguages: readonly string[] = [];
