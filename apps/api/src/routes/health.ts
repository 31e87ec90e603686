import { setTimeout as sleep } from 'node:timers/promises';
import { AmalgamError, Health, isAmalgamError, LANES, Type } from '@amalgam/contracts';
import type { Metrics } from '@amalgam/telemetry';
import type { Api } from '../types.js';
import { answers } from './schemas.js';

const PING_MS = 5000;
const tags = ['health'];

/** For whoever runs the service; none of these asks for a key. */
export async function healthRoutes(app: Api, { metrics }: { metrics: Metrics }): Promise<void> {
  const { config, parts } = app;

  app.get(
    '/healthz',
    {
      schema: {
        operationId: 'health',
        tags,
        summary: 'The process lives',
        security: [],
        response: answers({ 200: Health }),
      },
    },
    async () => ({ status: 'ok' as const }),
  );

  app.get(
    '/readyz',
    {
      schema: {
        operationId: 'readiness',
        tags,
        summary: 'Database, queue and object store answer',
        security: [],
        response: answers({ 200: Health }, 'unavailable'),
      },
    },
    async () => {
      const failed = await Promise.all([
        ping('database', () => parts.database.ping()),
        ping('queue', () => parts.queue.ping()),
        ping('store', () => parts.store.ping()),
      ]);
      const errors = failed.filter((failure) => failure !== null);
      if (errors.length === 0) {
        return { status: 'ok' as const, checks: { database: 'ok', queue: 'ok', store: 'ok' } as const };
      }
      throw new AmalgamError('unavailable', errors.map((error) => error.detail).join('; '), { errors });
    },
  );

  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'metrics',
        tags,
        summary: 'Measurements, for Prometheus',
        security: [],
        produces: ['text/plain'],
        response: { 200: Type.String() },
      },
    },
    async (_request, reply) => {
      const { contentType, body } = await metrics.render();
      return reply.header('content-type', contentType).send(body);
    },
  );

  metrics.collect(async () => {
    for (const lane of LANES) {
      const counts = await parts.queue.counts(lane);
      for (const state of ['waiting', 'delayed', 'active', 'failed'] as const) {
        metrics.queueJobs.set({ lane, state }, counts[state]);
      }
    }
  });
  metrics.collect(async () => {
    metrics.workers.set((await parts.database.workers.listAlive(config.worker.staleMs)).length);
    metrics.outboxPending.set((await parts.database.outbox.backlog()).due);
  });
}

/** Null, or which part fails. Only our own words: a driver's may name addresses. */
async function ping(name: string, call: () => Promise<void>): Promise<{ pointer: string; detail: string } | null> {
  const late = new AbortController();
  try {
    await Promise.race([
      call(),
      sleep(PING_MS, undefined, { signal: late.signal, ref: false }).then(() => {
        throw new AmalgamError('unavailable', `no answer within ${PING_MS / 1000} s`);
      }),
    ]);
    return null;
  } catch (error) {
    return { pointer: `/${name}`, detail: `${name}: ${isAmalgamError(error) ? error.detail : 'does not answer'}` };
  } finally {
    late.abort();
  }
}
