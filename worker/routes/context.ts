/** What middleware leaves for the handlers of a request. */

import type { Bindings } from "../env.ts";
import type { RequestScope } from "../request-scope.ts";

export interface AppEnv {
  readonly Bindings: Bindings;
  readonly Variables: { readonly scope: RequestScope };
}
