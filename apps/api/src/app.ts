import type { Config, Parts } from '@amalgam/runtime';
import { createMetrics, type Logger, type Metrics } from '@amalgam/telemetry';
import helmet from '@fastify/helmet';
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import { type FastifyBaseLogger, fastify, LogController } from 'fastify';
import auth from './plugins/auth.js';
import idempotency from './plugins/idempotency.js';
import limits from './plugins/limits.js';
import openapi from './plugins/openapi.js';
import problems, { sendProblem } from './plugins/problems.js';
import requests, { requestId } from './plugins/requests.js';
import { assetRoutes } from './routes/assets.js';
import { checkpointRoutes } from './routes/checkpoints.js';
import { dashboardRoutes } from './routes/dashboard.js';
import { deliveryRoutes } from './routes/deliveries.js';
import { eventRoutes } from './routes/events.js';
import { healthRoutes } from './routes/health.js';
import { keyRoutes } from './routes/keys.js';
import { mergeEventRoutes } from './routes/merge-events.js';
import { mergeResultRoutes } from './routes/merge-results.js';
import { mergeRoutes } from './routes/merges.js';
import { methodRoutes } from './routes/methods.js';
import { objectRoutes } from './routes/objects.js';
import { queueRoutes } from './routes/queue.js';
import { sessionRoutes, signInRoutes } from './routes/session.js';
import { webhookEndpointRoutes } from './routes/webhook-endpoints.js';
import { EventHub } from './services/event-hub.js';
import { InFlight } from './services/in-flight.js';
import { Sessions } from './services/session.js';
import { compileValidator, parseQuery } from './services/validation.js';
import type { Api, Timing } from './types.js';

export interface AppOptions {
  config: Config;
  parts: Parts;
  log: Logger;
  metrics?: Metrics;
  timing?: Partial<Timing>;
  /** Folder of the built dashboard; default: that of its package. */
  dashboard?: string;
}

/** No byte in either direction for so long ends a connection; streams send heartbeats. */
const IDLE_MS = 120_000;
const TIMING: Timing = { heartbeatMs: 15_000, pollMs: 5_000, bodyMs: 60_000 };

/**
 * The HTTP API, ready to listen. Closing it ends the event streams and leaves the parts open: they are the caller's,
 * to close once `inFlight` is drained.
 */
export async function buildApp(options: AppOptions): Promise<Api> {
  const { config, parts, log, metrics = createMetrics() } = options;
  const app: Api = fastify({
    loggerInstance: log as FastifyBaseLogger,
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'request_id' }),
    genReqId: requestId,
    bodyLimit: config.bodyLimitBytes,
    connectionTimeout: IDLE_MS,
    requestTimeout: 0, // see plugins/requests.ts
    return503OnClosing: false,
    routerOptions: { maxParamLength: 1024, querystringParser: parseQuery },
    frameworkErrors: (error, request, reply) => {
      reply.header('x-request-id', request.id);
      sendProblem(error, request, reply, config.bodyLimitBytes);
    },
  }).withTypeProvider<TypeBoxTypeProvider>();

  app.decorate('config', config).decorate('parts', parts);
  app.decorate('timing', { ...TIMING, ...options.timing });
  app.decorate('eventHub', new EventHub(parts.database));
  app.decorate('inFlight', new InFlight());
  app.decorate('sessions', new Sessions(config.secretKey));
  app.decorateRequest('caller', null).decorateRequest('idempotency', null).decorateRequest('written', null);
  app.addHook('preClose', () => app.eventHub.close());

  app.setValidatorCompiler(compileValidator);
  // Resources are made field by field; a second filter by schema would only cost time and could hide mistakes.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  useJson(app);

  await app.register(problems);
  await app.register(requests, { metrics });
  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: { 'default-src': ["'none'"], 'frame-ancestors': ["'none'"] },
    },
  });
  await app.register(openapi);

  await app.register(healthRoutes, { metrics });
  await app.register(dashboardRoutes, { folder: options.dashboard });
  await app.register(objectRoutes, { prefix: '/v1' });
  await app.register(signInRoutes, { prefix: '/v1' });
  await app.register(
    async (v1: Api) => {
      await v1.register(auth);
      await v1.register(limits);
      await v1.register(idempotency);
      await v1.register(assetRoutes('checkpoint'));
      await v1.register(checkpointRoutes);
      await v1.register(assetRoutes('graph'));
      await v1.register(assetRoutes('dataset'));
      await v1.register(mergeRoutes);
      await v1.register(mergeEventRoutes);
      await v1.register(mergeResultRoutes);
      await v1.register(eventRoutes);
      await v1.register(methodRoutes);
      await v1.register(webhookEndpointRoutes);
      await v1.register(deliveryRoutes);
      await v1.register(keyRoutes);
      await v1.register(queueRoutes);
      await v1.register(sessionRoutes);
    },
    { prefix: '/v1' },
  );
  return app;
}

/** JSON bodies only. An empty one is none: many clients name the type on every POST. */
function useJson(app: Api): void {
  app.removeAllContentTypeParsers();
  const parse = app.getDefaultJsonParser('error', 'ignore');
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined);
    else parse(request, body as string, done);
  });
}
