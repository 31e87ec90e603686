import { AmalgamError } from '@amalgam/contracts';
import type { FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Api, Caller } from '../types.js';

const READING = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Asks for an API key on every route of its scope. */
async function auth(app: Api): Promise<void> {
  app.addHook('onRequest', async (request) => {
    const token = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1];
    if (token === undefined) {
      throw new AmalgamError('unauthorized', 'send an API key: Authorization: Bearer amk_…');
    }
    const { id, projectId, scopes } = await app.parts.database.apiKeys.authenticate(token);
    request.caller = { projectId, keyId: id, scopes };
    assertScope(request, request.routeOptions.config.scope ?? (READING.has(request.method) ? 'read' : 'write'));
  });
}

/** The caller of a route that asks for a key. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new AmalgamError('unauthorized', 'the API key is missing');
  return request.caller;
}

export function projectOf(request: FastifyRequest): string {
  return callerOf(request).projectId;
}

function assertScope(request: FastifyRequest, needed: 'read' | 'write' | '*'): void {
  const { scopes, keyId } = callerOf(request);
  if (scopes.includes('*') || scopes.includes(needed)) return;
  throw new AmalgamError('forbidden', `the API key ${keyId} lacks the scope "${needed}"`);
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the key must be allowed; default: `read` for GET, `write` for the rest. */
    scope?: 'read' | 'write' | '*';
  }
}

export default fp(auth, { name: 'auth' });
