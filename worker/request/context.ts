/** What middleware leaves for the handlers of a request. */

import type { RequestScope } from "./scope.ts";

export interface AppEnv {
  readonly Variables: {
    readonly scope: RequestScope;
    /** Set by the gate: counts a new caption against the caller's quota, or throws. */
    readonly beforeGenerating?: () => Promise<void>;
  };
}
