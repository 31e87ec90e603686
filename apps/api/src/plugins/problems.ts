import { AmalgamError } from '@amalgam/contracts';
import type { FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { toAmalgamError, toProblem } from '../services/problem.js';
import type { Api } from '../types.js';

/** Every error becomes problem+json, also those of unknown paths and of verbs that a path does not take. */
async function problems(app: Api): Promise<void> {
  const routes: { pattern: RegExp; methods: string[] }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    routes.push({ pattern: toPattern(url), methods: [method].flat() });
  });

  app.setErrorHandler((error, request, reply) => sendProblem(error, request, reply, app.config.bodyLimitBytes));

  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    const methods = routes.filter(({ pattern }) => pattern.test(path)).flatMap((route) => route.methods);
    if (methods.length === 0) throw new AmalgamError('not_found', `there is nothing at ${request.method} ${path}`);
    const allowed = [...new Set(methods)].sort().join(', ');
    reply.header('allow', allowed);
    throw new AmalgamError('method_not_allowed', `${path} takes ${allowed}, not ${request.method}`);
  });
}

/** Answers with the problem, and logs what is our fault. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply, bodyLimit: number): void {
  const known = toAmalgamError(error, bodyLimit);
  if (known.status >= 500) request.log.error({ err: known.cause ?? error, code: known.code }, known.detail);
  if (known.status === 401) {
    const sent = request.headers.authorization !== undefined;
    reply.header('www-authenticate', `Bearer realm="amalgam"${sent ? ', error="invalid_token"' : ''}`);
  }
  if (known.code === 'unavailable' || known.code === 'idempotency_in_progress') reply.header('retry-after', '1');
  reply.code(known.status).type('application/problem+json').send(toProblem(known, request.id));
}

/** A route's path as an expression over real paths. */
function toPattern(url: string): RegExp {
  const source = url
    .split('/')
    .map((segment) => {
      if (segment === '*') return '.*';
      return segment.startsWith(':') ? '[^/]+' : segment.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
    })
    .join('/');
  return new RegExp(`^${source}$`);
}

export default fp(problems, { name: 'problems' });
