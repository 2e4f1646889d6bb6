/** What middleware leaves for the handlers of a request. */

import type { Caller } from "../access/caller.ts";
import type { RequestScope } from "./scope.ts";

export interface AppEnv {
  readonly Variables: {
    readonly scope: RequestScope;
    /** Set by the gate, for the routes behind it. */
    readonly caller: Caller;
  };
}
