import { LANES, type Lane, type LaneStatus, QueueStatus } from '@amalgam/contracts';
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
      const [counts, workers] = await Promise.all([
        Promise.all(LANES.map(async (lane) => [lane, await parts.queue.counts(lane)] as const)),
        parts.database.workers.listAlive(config.worker.staleMs),
      ]);
      return {
        object: 'queue' as const,
        lanes: counts.map(([lane, jobs]) => {
          return laneStatus(lane, jobs, workers.filter(({ lanes }) => lanes.includes(lane)).length);
        }),
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

function laneStatus(lane: Lane, jobs: Omit<LaneStatus, 'lane' | 'workers' | 'warning'>, workers: number): LaneStatus {
  const waiting = jobs.waiting + jobs.delayed;
  if (workers > 0 || waiting === 0) return { lane, ...jobs, workers };
  const what = waiting === 1 ? '1 job waits' : `${waiting} jobs wait`;
  const warning = `${what}, and no living worker takes them: start one with ${lane} in AMALGAM_LANES`;
  return { lane, ...jobs, workers, warning };
}
