import { createHash } from 'node:crypto';
import { Type } from '@amalgam/contracts';
import fp from 'fastify-plugin';
import type { Api } from '../types.js';
import { projectOf } from './auth.js';

const Headers = Type.Object({
  'idempotency-key': Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      pattern: '^[\\x20-\\x7e]+$',
      description:
        'Repeats of a request with the same key get the first answer again, marked with idempotent-replayed: true. ' +
        'Kept for at least 24 hours; a request that failed frees its key',
    }),
  ),
});

/**
 * Idempotency-Key on every POST. Only what succeeded is kept: a request that failed has changed nothing, so its key is
 * free for another try.
 */
async function idempotency(app: Api): Promise<void> {
  const { idempotency: keys } = app.parts.database;

  app.addHook('onRoute', (route) => {
    if (route.method === 'POST') route.schema = { ...route.schema, headers: Headers };
  });

  // After validation: a body that is not valid never takes the key.
  app.addHook('preHandler', async (request, reply) => {
    const key = request.headers['idempotency-key'];
    if (request.method !== 'POST' || typeof key !== 'string') return;
    const begun = await keys.begin(projectOf(request), key, {
      route: `POST ${request.url.split('?', 1)[0]}`,
      requestHash: createHash('sha256')
        .update(JSON.stringify(request.body ?? null))
        .digest('hex'),
    });
    if (begun.kind === 'new') {
      request.idempotency = { key, token: begun.token, completed: false };
      return;
    }
    reply.code(begun.status).headers(begun.headers).header('idempotent-replayed', 'true');
    return reply.send(begun.body);
  });

  app.addHook('onSend', async (request, reply, payload) => {
    const held = request.idempotency;
    if (held === null || held.completed) return payload;
    held.completed = true;
    const { key, token } = held;
    if (reply.statusCode >= 400) {
      await keys.abandon(projectOf(request), key, token);
      return payload;
    }
    const location = reply.getHeader('location');
    await keys.complete(projectOf(request), key, token, {
      status: reply.statusCode,
      headers: location === undefined ? {} : { location: String(location) },
      body: typeof payload === 'string' && payload !== '' ? (JSON.parse(payload) as unknown) : null,
    });
    return payload;
  });
}

export default fp(idempotency, { name: 'idempotency', dependencies: ['auth'] });
