import { AmalgamError, type EndpointEventType, type MergeEvent, type ProjectEvent } from '@amalgam/contracts';
import type { Context } from '../context.js';
import { Prisma } from '../generated/client.js';
import { toNumber } from '../json.js';
import {
  type MergeEventRow,
  type PlacedEventRow,
  toEventResource,
  toProjectEventResource,
} from '../resources/event.js';

const MAX_LIMIT = 1000;

export interface ProjectEventFilter {
  /** Any of these. */
  types?: readonly EndpointEventType[];
  mergeId?: string;
  /** Those that were written then or later. */
  since?: Date;
}

/** Some events, and how far that went. */
export interface ProjectEvents {
  events: ProjectEvent[];
  /** There is nothing else up to here: what comes after this is what a reader misses. */
  position: number;
  /** Events after that are there already. */
  more: boolean;
}

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
      take: pageOf(limit),
    });
    if (rows.length === 0) await this.#assertMerge(projectId, mergeId);
    return (rows as MergeEventRow[]).map(toEventResource);
  }

  /** The position of the project's last event, 0 before the first; what comes later comes after it. */
  async lastPosition(projectId: string): Promise<number> {
    const [row] = await this.context.prisma.$queryRaw<{ position: bigint | null }[]>`
      SELECT place_events(${projectId}) AS position`;
    return toNumber(row?.position ?? 0n);
  }

  /**
   * The events of a project with positions above `after` (0: from the first), in order, at most `limit` (100). An event that
   * is not seen by this call has a higher position than those that are, so a reader that goes on after `position` misses none.
   */
  async listOfProject(
    projectId: string,
    after = 0,
    limit = 100,
    filter: ProjectEventFilter = {},
  ): Promise<ProjectEvents> {
    const last = await this.lastPosition(projectId);
    if (after >= last) return { events: [], position: after, more: false };
    const most = pageOf(limit);
    const rows = await this.context.prisma.$queryRaw<PlacedEventRow[]>`
      SELECT id, project_id AS "projectId", position, merge_id AS "mergeId", seq, endpoint_id AS "endpointId",
        type::text AS type, data, created_at AS "createdAt"
      FROM events WHERE ${Prisma.join(conditions(projectId, { after, last }, filter), ' AND ')}
      ORDER BY position LIMIT ${most + 1}`;
    const events = rows.slice(0, most).map(toProjectEventResource);
    const more = rows.length > most;
    return { events, more, position: more ? (events.at(-1)?.position ?? last) : last };
  }

  /** Gives positions in all projects, so that no reader finds a year's events to give them to. */
  async placeAll(): Promise<void> {
    const projects = await this.context.prisma.$queryRaw<{ id: string }[]>`
      SELECT DISTINCT project_id AS id FROM events WHERE position IS NULL`;
    for (const { id } of projects) await this.lastPosition(id);
  }

  async #assertMerge(projectId: string, id: string): Promise<void> {
    const merge = await this.context.prisma.merge.findUnique({ where: { id, projectId }, select: { id: true } });
    if (merge === null) throw new AmalgamError('not_found', `there is no merge ${id}`);
  }
}

function pageOf(limit: number): number {
  return Math.min(Math.max(1, limit), MAX_LIMIT);
}

/** Written so that plans which are made before the values are known use the right index. */
function conditions(
  projectId: string,
  { after, last }: { after: number; last: number },
  { types, mergeId, since }: ProjectEventFilter,
): Prisma.Sql[] {
  // A merge's events are found by the merge: a sum is in no index.
  const position = mergeId === undefined ? Prisma.sql`position` : Prisma.sql`(position + 0)`;
  const wanted = [
    Prisma.sql`project_id = ${projectId}`,
    Prisma.sql`${position} > ${Math.trunc(after)}::bigint`,
    Prisma.sql`${position} <= ${last}::bigint`,
  ];
  if (types !== undefined) wanted.push(Prisma.sql`type = ANY(${[...types]}::text[]::event_type[])`);
  // These have an index of their own.
  if (types?.includes('merge.progress') === false) wanted.push(Prisma.sql`type <> 'merge.progress'`);
  if (mergeId !== undefined) wanted.push(Prisma.sql`merge_id = ${mergeId}`);
  if (since !== undefined) wanted.push(Prisma.sql`created_at >= ${since}::timestamptz`);
  return wanted;
}
