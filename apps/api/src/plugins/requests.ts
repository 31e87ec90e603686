import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Metrics } from '@amalgam/telemetry';
import fp from 'fastify-plugin';
import type { Api } from '../types.js';

const REQUEST_ID = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/;
/** Probes and scrapes would fill the log. */
const QUIET = new Set(['/healthz', '/readyz', '/metrics']);

/** The client's request id, when it is one; else a new one. */
export function requestId(raw: IncomingMessage): string {
  const given = raw.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : `req_${randomUUID().replaceAll('-', '')}`;
}

/** The request id on every answer, note of what is in flight, one log line and two measurements for every request. */
async function requests(app: Api, { metrics }: { metrics: Metrics }): Promise<void> {
  app.addHook('onRequest', async (request, reply) => {
    app.inFlight.begin(reply);
    reply.header('x-request-id', request.id);
  });

  // Node's own limit on the time to receive a request holds for all requests, uploads too, so it is off.
  app.addHook('preParsing', async (request, _reply, payload) => {
    if (!hasBody(request.raw) || request.routeOptions.config.streamsBody === true) return payload;
    const timer = setTimeout(() => request.raw.destroy(), app.timing.bodyMs);
    payload.once('close', () => clearTimeout(timer)).once('end', () => clearTimeout(timer));
    timer.unref();
    return payload;
  });

  app.addHook('onResponse', async (request, reply) => {
    // The pattern, never the path: paths hold ids.
    const route = request.routeOptions.url ?? 'none';
    const { method } = request;
    metrics.httpRequestsTotal.inc({ route, method, status: String(reply.statusCode) });
    metrics.httpRequestSeconds.observe({ route, method }, reply.elapsedTime / 1000);
    const level = QUIET.has(route) ? 'debug' : 'info';
    request.log[level](
      {
        method,
        url: request.url,
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
        ...(request.caller === null ? {} : { project: request.caller.projectId, key: request.caller.keyId }),
      },
      'request',
    );
  });
}

/** A request without one never ends as a stream, since nobody reads it. */
function hasBody({ headers, method }: IncomingMessage): boolean {
  if (method === 'GET' || method === 'HEAD') return false;
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The handler reads the body itself, for as long as it takes. */
    streamsBody?: boolean;
  }
}

export default fp(requests, { name: 'requests' });
