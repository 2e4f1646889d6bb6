/** Whom a request is answered for, and what may be spent for them. No HTTP. */

/** One new caption that was counted. */
export interface Charge {
  /** Takes the charge back, because nothing was generated for it. */
  refund(): Promise<void>;
}

export interface Caller {
  /** Id of the key; `anybody` if the deployment is open. */
  readonly id: string;
  /** Whose part of the cache is used, if tenants share nothing; undefined if all share the cache. */
  readonly cacheOwner: string | undefined;
  /** Counts one item of a batch as the request that it could have been. @throws {FailureError} `rate-limited` */
  countItem(): Promise<void>;
  /** Checks that quota is left, before an address is fetched for the caller. @throws {FailureError} `quota-exceeded` */
  requireQuota(): Promise<void>;
  /** Counts one new caption before a captioner is asked. @throws {FailureError} `quota-exceeded` */
  charge(): Promise<Charge>;
  /** Counts the items of a job before it begins, because they are kept for days. @throws {FailureError} `quota-exceeded`, `too-many-items` */
  countJobItems(count: number): Promise<void>;
}

export const NO_CHARGE: Charge = { refund: async () => {} };

/** Anybody, if the deployment is open: nothing is counted. */
export const ANYBODY: Caller = {
  id: "anybody",
  cacheOwner: undefined,
  countItem: async () => {},
  requireQuota: async () => {},
  charge: async () => NO_CHARGE,
  countJobItems: async () => {},
};
