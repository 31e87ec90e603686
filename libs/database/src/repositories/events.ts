import { AmalgamError, type MergeEvent } from '@amalgam/contracts';
import type { Context } from '../context.js';
import { toEventResource } from '../resources/event.js';

const MAX_LIMIT = 1000;

export class EventRepository {
  constructor(private readonly context: Context) {}

  /**
   * The events of a merge with numbers above `after` (0: from the first), in order, at most `limit` (100).
   * Numbers have no holes, so a reader that asks again with the last number that it saw misses none.
   * Throws `not_found` when the project has no such merge.
   */
  async listAfter(projectId: string, mergeId: string, after = 0, limit = 100): Promise<MergeEvent[]> {
    const rows = await this.context.prisma.event.findMany({
      where: { mergeId, merge: { projectId }, seq: { gt: Math.trunc(after) } },
      orderBy: { seq: 'asc' },
      take: Math.min(Math.max(1, limit), MAX_LIMIT),
    });
    if (rows.length === 0) await this.#assertMerge(projectId, mergeId);
    return rows.map(toEventResource);
  }

  async #assertMerge(projectId: string, id: string): Promise<void> {
    const merge = await this.context.prisma.merge.findUnique({ where: { id, projectId }, select: { id: true } });
    if (merge === null) throw new AmalgamError('not_found', `there is no merge ${id}`);
  }
}
