/** The bindings of `wrangler.toml`. Variables are beside them; only `config.ts` reads those. */

export interface Bindings {
  /** Captions and the model's revision. */
  readonly CAPTIONS: KVNamespace;
  /** API keys, hashed. */
  readonly KEYS: KVNamespace;
}
