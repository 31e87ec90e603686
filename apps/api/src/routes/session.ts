import { AmalgamError, CreateSession, Session } from '@amalgam/contracts';
import rateLimit from '@fastify/rate-limit';
import type { FastifyRequest } from 'fastify';
import { callerOf } from '../plugins/auth.js';
import { isOurs } from '../services/same-origin.js';
import { SESSION_SECONDS, sessionCookie } from '../services/session.js';
import type { Api } from '../types.js';
import { answers, nothing } from './schemas.js';

const tags = ['session'];
/** Sign-ins a minute from one address: nobody types faster, and whoever guesses keys gets nowhere. */
const SIGN_INS = 30;

/** Signing in and out, which ask for no key. */
export async function signInRoutes(app: Api): Promise<void> {
  const { config, parts, sessions } = app;
  const isSecure = (request: FastifyRequest) => request.protocol === 'https' || config.publicUrl.startsWith('https:');

  await app.register(rateLimit, {
    global: false,
    max: SIGN_INS,
    timeWindow: 60_000,
    enableDraftSpec: true,
    errorResponseBuilder: (_request, { max, after }) =>
      new AmalgamError('rate_limited', `more than ${max} sign-ins a minute from this address; try again in ${after}`),
  });

  app.post(
    '/session',
    {
      config: { rateLimit: {} },
      schema: {
        operationId: 'createSession',
        tags,
        summary: 'Sign in with an API key: the answer sets a cookie that stands for it, for twelve hours',
        description: 'For browsers. The cookie is HTTP-only, and serves only pages of this service.',
        security: [],
        body: CreateSession,
        response: answers(
          { 201: Session },
          'invalid_request',
          'unauthorized',
          'key_expired',
          'key_revoked',
          'forbidden',
          'rate_limited',
        ),
      },
    },
    async (request, reply) => {
      const { origin, host } = request.headers;
      // Another site must not sign somebody in with a key of its choosing.
      if (origin !== undefined && !isOurs(origin, host, config.publicUrl)) {
        throw new AmalgamError('forbidden', 'signing in is for the service’s own pages');
      }
      const token = request.body.key.trim();
      const key = await parts.database.apiKeys.authenticate(token);
      const end = Date.now() + SESSION_SECONDS * 1000;
      const expiresAt = new Date(Math.min(end, key.expiresAt?.getTime() ?? end));
      return reply
        .code(201)
        .header('set-cookie', sessionCookie(sessions.seal({ token, expiresAt }), isSecure(request)))
        .header('cache-control', 'no-store')
        .send(toSession(key.id, key.scopes, expiresAt));
    },
  );

  app.delete(
    '/session',
    {
      schema: {
        operationId: 'endSession',
        tags,
        summary: 'Sign out: the browser forgets the cookie',
        security: [],
        response: answers({ 204: nothing('Signed out') }),
      },
    },
    async (request, reply) =>
      reply
        .code(204)
        .header('set-cookie', sessionCookie(null, isSecure(request)))
        .send(),
  );
}

/** Who is signed in; registered behind auth. */
export async function sessionRoutes(app: Api): Promise<void> {
  app.get(
    '/session',
    {
      schema: {
        operationId: 'getSession',
        tags,
        summary: 'Whom this request speaks for, and until when',
        response: answers({ 200: Session }),
      },
    },
    async (request) => {
      const { keyId, scopes, sessionEnds } = callerOf(request);
      return toSession(keyId, scopes, sessionEnds);
    },
  );
}

function toSession(keyId: string, scopes: readonly string[], expiresAt: Date | null): Session {
  return {
    object: 'session',
    key_id: keyId,
    scopes: [...scopes] as Session['scopes'],
    expires_at: expiresAt?.toISOString() ?? null,
  };
}
