import { hkdfSync } from 'node:crypto';
import { AmalgamError, isAmalgamError } from '@amalgam/contracts';
import { Vault } from '@amalgam/database';

export const SESSION_COOKIE = 'amalgam_session';
/** A day at work. The cookie is not prolonged: whoever stays longer signs in again. */
export const SESSION_SECONDS = 12 * 60 * 60;

const CONTEXT = 'session';

/** A sign-in: the API key that it speaks with, and when it ends. */
export interface OpenSession {
  token: string;
  expiresAt: Date;
}

/**
 * Sign-ins of browsers. The cookie holds the API key, sealed so that only the service reads it, with the time after which
 * it opens nothing. Nothing is stored: what the key may do, and whether it was revoked, is asked of the key each time.
 */
export class Sessions {
  readonly #vault: Vault;

  /** `secret`: the service's own, the same in all its processes. A key of its own comes of it. */
  constructor(secret: Uint8Array) {
    this.#vault = new Vault([new Uint8Array(hkdfSync('sha256', secret, '', 'amalgam browser session', 32))]);
  }

  seal({ token, expiresAt }: OpenSession): string {
    return this.#vault.seal(JSON.stringify([token, expiresAt.getTime()]), CONTEXT);
  }

  /** @throws AmalgamError `unauthorized` for what was not sealed here, or has ended */
  open(sealed: string): OpenSession {
    const [token, until] = JSON.parse(this.#unseal(sealed)) as [string, number];
    if (until <= Date.now()) throw new AmalgamError('unauthorized', 'the session has ended: sign in again');
    return { token, expiresAt: new Date(until) };
  }

  #unseal(sealed: string): string {
    try {
      return this.#vault.open(sealed, CONTEXT);
    } catch (cause) {
      if (!isAmalgamError(cause)) throw cause;
      throw new AmalgamError('unauthorized', 'the session is not valid: sign in again', { cause });
    }
  }
}

/** The Set-Cookie header of a session; without one, that which takes the cookie away. Only calls of the API get it. */
export function sessionCookie(sealed: string | null, secure: boolean): string {
  const age = sealed === null ? 0 : SESSION_SECONDS;
  const attributes = ['Path=/v1', `Max-Age=${age}`, 'HttpOnly', 'SameSite=Strict', ...(secure ? ['Secure'] : [])];
  return [`${SESSION_COOKIE}=${sealed ?? ''}`, ...attributes].join('; ');
}

/** The session's cookie in a Cookie header (RFC 6265 section 4.2). */
export function readSessionCookie(header: string | undefined): string | undefined {
  for (const pair of (header ?? '').split(';')) {
    const [name, value] = pair.trim().split('=', 2);
    if (name === SESSION_COOKIE && value !== undefined && value !== '') return value;
  }
  return undefined;
}
