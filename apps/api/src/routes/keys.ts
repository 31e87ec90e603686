import { AmalgamError, ApiKey, CreateApiKey, List, type Scope } from '@amalgam/contracts';
import type { ApiKeyRow } from '@amalgam/database';
import { projectOf } from '../plugins/auth.js';
import type { Api } from '../types.js';
import { answers, assertId, IdParams, nothing, timeOf } from './schemas.js';

const tags = ['keys'];
/** Otherwise a key could make one that may do more than itself. */
const config = { scope: '*' } as const;

export async function keyRoutes(app: Api): Promise<void> {
  const { apiKeys } = app.parts.database;

  app.post(
    '/keys',
    {
      config,
      schema: {
        operationId: 'createKey',
        tags,
        summary: 'Make an API key; it is shown in this answer and never again',
        body: CreateApiKey,
        response: answers({ 201: ApiKey }, 'invalid_request'),
      },
    },
    async (request, reply) => {
      const { name, scopes = ['*'], expires_at } = request.body;
      const expiresAt = expires_at === undefined ? undefined : timeOf(expires_at, '/expires_at');
      if (expiresAt !== undefined && expiresAt.getTime() <= Date.now()) {
        const detail = 'must be in the future';
        throw new AmalgamError('invalid_request', `expires_at ${detail}`, {
          errors: [{ pointer: '/expires_at', detail }],
        });
      }
      const { key, token } = await apiKeys.createKey(projectOf(request), {
        name,
        scopes,
        ...(expiresAt === undefined ? {} : { expiresAt }),
      });
      return reply
        .code(201)
        .header('location', `/v1/keys/${key.id}`)
        .header('cache-control', 'no-store')
        .send({ ...toResource(key), token });
    },
  );

  app.get(
    '/keys',
    {
      config,
      schema: {
        operationId: 'listKeys',
        tags,
        summary: 'The keys, the oldest first, revoked ones too',
        response: answers({ 200: List(ApiKey) }),
      },
    },
    async (request) => {
      const keys = await apiKeys.list(projectOf(request));
      return { data: keys.map(toResource), has_more: false, next_cursor: null };
    },
  );

  app.delete(
    '/keys/:id',
    {
      config,
      schema: {
        operationId: 'revokeKey',
        tags,
        summary: 'Revoke a key for good; every process knows within five seconds',
        params: IdParams,
        response: answers({ 204: nothing('Revoked') }, 'not_found'),
      },
    },
    async (request, reply) => {
      assertId('apiKey', request.params.id);
      await apiKeys.revoke(projectOf(request), request.params.id);
      return reply.code(204).send();
    },
  );
}

function toResource(key: ApiKeyRow): ApiKey {
  return {
    object: 'api_key',
    id: key.id,
    name: key.name,
    scopes: key.scopes as Scope[],
    created_at: key.createdAt.toISOString(),
    expires_at: key.expiresAt?.toISOString() ?? null,
    revoked_at: key.revokedAt?.toISOString() ?? null,
    last_used_at: key.lastUsedAt?.toISOString() ?? null,
  };
}
