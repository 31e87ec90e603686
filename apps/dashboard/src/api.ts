import { ApiError, createClient } from '@amalgam/client';
import { isAmalgamError } from '@amalgam/contracts';

/** Speaks with the service that served this page; the browser adds the session's cookie. */
export const client = createClient({ baseUrl: location.origin, retries: 2 });

/** What to tell a person of an error. */
export interface Trouble {
  code: string;
  detail: string;
  /** For whoever looks into the service's log. */
  requestId: string | undefined;
}

export function toTrouble(error: unknown): Trouble {
  if (!isAmalgamError(error)) return { code: 'internal', detail: String(error), requestId: undefined };
  return {
    code: error.code,
    detail: error.detail,
    requestId: error instanceof ApiError ? error.requestId : undefined,
  };
}

/** The session has ended, or its key no longer opens anything. */
export function isSignedOut(error: unknown): boolean {
  return isAmalgamError(error) && error.status === 401;
}

/** True for the end of a request that nobody waits for any more. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}
