import { AmalgamError } from '@amalgam/contracts';
import rateLimit from '@fastify/rate-limit';
import fp from 'fastify-plugin';
import type { Api } from '../types.js';

/** So many requests a minute for each key. Registered after auth, whose hook tells the keys. */
async function limits(app: Api): Promise<void> {
  await app.register(rateLimit, {
    max: app.config.rateLimit,
    timeWindow: 60_000,
    enableDraftSpec: true,
    keyGenerator: (request) => request.caller?.keyId ?? request.ip,
    errorResponseBuilder: (_request, { max, after }) =>
      new AmalgamError('rate_limited', `more than ${max} requests a minute with this key; try again in ${after}`),
  });
}

export default fp(limits, { name: 'limits', dependencies: ['auth'] });
