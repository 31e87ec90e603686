import type { Lane } from '@amalgam/contracts';
import type { Context } from '../context.js';
import type { Worker } from '../generated/client.js';

export interface WorkerInfo {
  id: string;
  hostname: string;
  pid: number;
  lanes: Lane[];
  /** What it computes on, in words. */
  device: string;
  version: string;
  /** Ids of the merges that it works on. */
  running: string[];
}

export class WorkerRepository {
  constructor(private readonly context: Context) {}

  /** Says that a worker lives, and what it does. */
  async heartbeat(worker: WorkerInfo): Promise<void> {
    const { id, hostname, pid, lanes, device, version, running } = worker;
    await this.context.prisma.$executeRaw`
      INSERT INTO workers (id, hostname, pid, lanes, device, version, running, started_at, heartbeat_at)
      VALUES (${id}, ${hostname}, ${pid}::int, ${lanes}::text[]::lane[], ${device}, ${version}, ${running}::text[],
              clock_timestamp(), clock_timestamp())
      ON CONFLICT (id) DO UPDATE SET
        hostname = EXCLUDED.hostname, pid = EXCLUDED.pid, lanes = EXCLUDED.lanes, device = EXCLUDED.device,
        version = EXCLUDED.version, running = EXCLUDED.running, heartbeat_at = EXCLUDED.heartbeat_at`;
  }

  /** Workers heard of in the last `withinMs`, the longest-lived first. */
  async listAlive(withinMs: number): Promise<Worker[]> {
    const rows = await this.context.prisma.$queryRaw<{ id: string }[]>`
      SELECT id FROM workers WHERE heartbeat_at >= clock_timestamp() - ${withinMs}::float8 * interval '1 millisecond'`;
    return this.context.prisma.worker.findMany({
      where: { id: { in: rows.map(({ id }) => id) } },
      orderBy: [{ startedAt: 'asc' }, { id: 'asc' }],
    });
  }

  /** A worker that stopped in an orderly way. */
  async remove(id: string): Promise<void> {
    await this.context.prisma.worker.deleteMany({ where: { id } });
  }

  /** Forgets workers not heard of for this long; returns how many. */
  async purge(olderThanMs: number): Promise<number> {
    return this.context.prisma.$executeRaw`
      DELETE FROM workers
      WHERE heartbeat_at < clock_timestamp() - ${olderThanMs}::float8 * interval '1 millisecond'`;
  }
}
