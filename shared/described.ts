/** What the API's document says about a value, kept beside its schema. */

import * as z from "zod/mini";

/** The same schema, now with a description for the document. Clone a schema first if it is used in other places too. */
export function described<Schema extends z.core.$ZodType>(schema: Schema, description: string): Schema {
  z.globalRegistry.add(schema, { description });
  return schema;
}
