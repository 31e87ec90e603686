import { AmalgamError, type Scope } from '@amalgam/contracts';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { assertSameOrigin } from '../services/same-origin.js';
import { readSessionCookie } from '../services/session.js';
import type { Api, Caller } from '../types.js';

const READING = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Asks for an API key, or for a browser's session with one, on every route of its scope. */
async function auth(app: Api): Promise<void> {
  app.addHook('onRequest', (request) => assertAllowed(app, request));
}

/**
 * Asks anew for what the request was sent with, as long as it lasts.
 *
 * @throws AmalgamError why it may not, or no longer
 */
export async function assertAllowed(app: Api, request: FastifyRequest): Promise<void> {
  const { token, sessionEnds } = credentials(app, request);
  const { id, projectId, scopes } = await app.parts.database.apiKeys.authenticate(token);
  request.caller = { projectId, keyId: id, scopes, sessionEnds };
  assertScope(request, request.routeOptions.config.scope ?? (READING.has(request.method) ? 'read' : 'write'));
}

/** A key that is sent goes before a cookie, which browsers send unasked. */
function credentials(app: Api, request: FastifyRequest): { token: string; sessionEnds: Date | null } {
  const { authorization, cookie } = request.headers;
  const token = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  if (token !== undefined) return { token, sessionEnds: null };
  const sealed = authorization === undefined ? readSessionCookie(cookie) : undefined;
  if (sealed === undefined) {
    throw new AmalgamError('unauthorized', 'send an API key: Authorization: Bearer amk_…');
  }
  assertSameOrigin(request, app.config.publicUrl);
  const session = app.sessions.open(sealed);
  return { token: session.token, sessionEnds: session.expiresAt };
}

/** The caller of a route that asks for a key. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new AmalgamError('unauthorized', 'the API key is missing');
  return request.caller;
}

export function projectOf(request: FastifyRequest): string {
  return callerOf(request).projectId;
}

/** `read` allows whatever `webhooks:read` does, and `*` everything. */
function assertScope(request: FastifyRequest, needed: Scope): void {
  const { scopes, keyId } = callerOf(request);
  if (['*', needed, needed.replace(/^.*:/, '')].some((scope) => scopes.includes(scope))) return;
  throw new AmalgamError('forbidden', `the API key ${keyId} lacks the scope "${needed}"`);
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the key must be allowed; default: `read` for GET, `write` for the rest. */
    scope?: Scope;
  }
}

export default fp(auth, { name: 'auth' });
