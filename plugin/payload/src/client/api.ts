"use client";
/** Calls the site's own API as the person who is logged in. */

import { useConfig } from "@payloadcms/ui";
import { formatAdminURL } from "payload/shared";
import { useCallback } from "react";
import * as z from "zod";

const Errors = z.object({ errors: z.array(z.object({ message: z.string() })).min(1) });
const Message = z.object({ message: z.string() });

/** Its message is a sentence that can be shown. */
export class CallError extends Error {
  override readonly name = "CallError";
}

/** Returns a function that calls a path under the site's API and checks its answer. @throws CallError */
export function useCall() {
  const { config } = useConfig();
  const { serverURL } = config;
  const apiRoute = config.routes.api;
  return useCallback(
    async <T>(path: `/${string}`, schema: z.ZodType<T>, init: RequestInit = {}): Promise<T> => {
      const url = formatAdminURL({ apiRoute, path, serverURL });
      const isJson = typeof init.body === "string";
      let response: Response;
      try {
        response = await fetch(url, {
          credentials: "include",
          ...init,
          ...(isJson ? { headers: { "content-type": "application/json" } } : {}),
        });
      } catch {
        throw new CallError("The site cannot be reached.");
      }
      const body: unknown = await response.json().catch(() => undefined);
      if (!response.ok)
        throw new CallError(messageOf(body) ?? `The site answered with status ${response.status}.`);
      return schema.parse(body);
    },
    [apiRoute, serverURL],
  );
}

function messageOf(body: unknown): string | undefined {
  const errors = Errors.safeParse(body);
  if (errors.success) return errors.data.errors[0]?.message;
  const message = Message.safeParse(body);
  return message.success ? message.data.message : undefined;
}
