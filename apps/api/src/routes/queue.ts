import { LANES, QueueStatus } from '@amalgam/contracts';
import type { Api } from '../types.js';
import { answers } from './schemas.js';

export async function queueRoutes(app: Api): Promise<void> {
  const { config, parts } = app;

  app.get(
    '/queue',
    {
      schema: {
        operationId: 'getQueue',
        tags: ['queue'],
        summary: 'Jobs by lane, and the workers that are alive',
        description: 'Of the whole service, in numbers only: jobs of other projects are counted too.',
        response: answers({ 200: QueueStatus }, 'unavailable'),
      },
    },
    async () => {
      const [lanes, workers] = await Promise.all([
        Promise.all(LANES.map(async (lane) => ({ lane, ...(await parts.queue.counts(lane)) }))),
        parts.database.workers.listAlive(config.worker.staleMs),
      ]);
      return {
        object: 'queue' as const,
        lanes,
        workers: workers.map((worker) => ({
          id: worker.id,
          lanes: worker.lanes,
          device: worker.device,
          version: worker.version,
          running: worker.running.length,
          started_at: worker.startedAt.toISOString(),
          heartbeat_at: worker.heartbeatAt.toISOString(),
        })),
      };
    },
  );
}
