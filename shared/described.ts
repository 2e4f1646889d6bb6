/** What the API's document says of a value, kept beside its schema. */

import * as z from "zod/mini";

/** The same schema, now with words for the document; one that is used in other places too is cloned before. */
export function described<Schema extends z.core.$ZodType>(schema: Schema, description: string): Schema {
  z.globalRegistry.add(schema, { description });
  return schema;
}
