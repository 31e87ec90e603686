import { AmalgamError, type EventType, type List } from '@amalgam/contracts';
import type { Context } from '../context.js';
import { fromRowEventType } from '../event-types.js';
import type { Prisma } from '../generated/client.js';
import { storable } from '../json.js';
import { type PageRequest, parsePage, toPage } from '../paging.js';
import type { DeliveryRow } from '../resources/delivery.js';
import { databaseNow, inTransaction } from '../transaction.js';
import { enqueue } from './outbox.js';

const withoutBody = { omit: { body: true, secret: true } } as const satisfies Prisma.DeliveryDefaultArgs;
const MAX_ERROR = 1000;

/** A delivery with what is needed to send it. */
export interface OutgoingDelivery extends DeliveryRow {
  /** Of the event; a failed merge.progress may be dropped, the others may not. */
  type: EventType;
  /** The exact text to sign and send. */
  body: string;
  /** Opened. Null when the webhook has none. */
  secret: string | null;
}

/** What came of one try. Exactly one of `state` and `nextAttemptAt`: it is over, or there is another try then. */
export type DeliveryAttempt = { status?: number; error?: string } & (
  | { state: 'succeeded' | 'failed'; nextAttemptAt?: never }
  | { nextAttemptAt: Date; state?: never }
);

export class DeliveryRepository {
  constructor(private readonly context: Context) {}

  /** For the sender, which knows an id from the queue; null when there is none. */
  async get(id: string): Promise<OutgoingDelivery | null> {
    const row = await this.context.prisma.delivery.findUnique({
      where: { id },
      include: { event: { select: { type: true } } },
    });
    if (row === null) return null;
    const { event, secret, ...rest } = row;
    const opened = secret === null ? null : this.context.vault.open(secret, row.mergeId);
    return { ...rest, secret: opened, type: fromRowEventType(event.type) };
  }

  /**
   * Notes one try. With `nextAttemptAt` the next one goes through the outbox, due then: the queue needs no delay of
   * its own. False, and nothing is noted, when the delivery is over already.
   */
  async recordAttempt(id: string, attempt: DeliveryAttempt): Promise<boolean> {
    return inTransaction(this.context, async (tx) => {
      const { count } = await tx.delivery.updateMany({
        where: { id, state: 'pending' },
        data: {
          attempts: { increment: 1 },
          lastStatus: attempt.status ?? null,
          lastError: attempt.error === undefined ? null : storable(attempt.error.slice(0, MAX_ERROR)),
          nextAttemptAt: attempt.nextAttemptAt ?? null,
          ...(attempt.state === undefined ? {} : { state: attempt.state, finishedAt: await databaseNow(tx) }),
        },
      });
      if (count === 0) return false;
      if (attempt.nextAttemptAt !== undefined) {
        await enqueue(tx, { kind: 'delivery', subjectId: id, payload: { delivery_id: id } }, attempt.nextAttemptAt);
      }
      return true;
    });
  }

  /** Pending deliveries that were due longer than `graceMs` ago and wait in no outbox row: the queue lost them. */
  async due(graceMs: number, limit = 100): Promise<string[]> {
    const rows = await this.context.prisma.$queryRaw<{ id: string }[]>`
      SELECT d.id FROM deliveries d
      WHERE d.state = 'pending' AND d.next_attempt_at < clock_timestamp() - ${graceMs}::float8 * interval '1 millisecond'
        AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.subject_id = d.id AND o.dispatched_at IS NULL)
      ORDER BY d.next_attempt_at LIMIT ${limit}`;
    return rows.map(({ id }) => id);
  }

  /** A new outbox row for a pending delivery (see `due`). False when it is over, or one waits already. */
  async redispatch(id: string): Promise<boolean> {
    return inTransaction(this.context, async (tx) => {
      const rows = await tx.$queryRaw<unknown[]>`
        SELECT 1 FROM deliveries WHERE id = ${id} AND state = 'pending' FOR UPDATE`;
      if (rows.length === 0) return false;
      if ((await tx.outbox.count({ where: { subjectId: id, dispatchedAt: null } })) > 0) return false;
      await enqueue(tx, { kind: 'delivery', subjectId: id, payload: { delivery_id: id } });
      return true;
    });
  }

  /** The user asks for it to be sent again, whatever came of it: the same bytes under the same id. */
  async redeliver(projectId: string, id: string): Promise<DeliveryRow> {
    return inTransaction(this.context, async (tx) => {
      const found = await tx.$queryRaw<unknown[]>`
        SELECT 1 FROM deliveries WHERE id = ${id} AND project_id = ${projectId} FOR UPDATE`;
      if (found.length === 0) throw new AmalgamError('not_found', `there is no delivery ${id}`);
      const waiting = await tx.outbox.findMany({ where: { subjectId: id, dispatchedAt: null }, select: { id: true } });
      // A retry that waits for its time is replaced by this one.
      await tx.outbox.deleteMany({ where: { id: { in: waiting.map((row) => row.id) } } });
      await enqueue(tx, { kind: 'delivery', subjectId: id, payload: { delivery_id: id } });
      return tx.delivery.update({
        where: { id },
        data: { state: 'pending', nextAttemptAt: await databaseNow(tx), finishedAt: null },
        ...withoutBody,
      });
    });
  }

  /** Null when the project has no such delivery. */
  async find(projectId: string, id: string): Promise<DeliveryRow | null> {
    return this.context.prisma.delivery.findUnique({ where: { id, projectId }, ...withoutBody });
  }

  /** Newest first. Throws `not_found` when the project has no such merge. */
  async listByMerge(projectId: string, mergeId: string, page: PageRequest = {}): Promise<List<DeliveryRow>> {
    const { limit, after } = parsePage('delivery', page);
    const merge = await this.context.prisma.merge.findUnique({
      where: { id: mergeId, projectId },
      select: { id: true },
    });
    if (merge === null) throw new AmalgamError('not_found', `there is no merge ${mergeId}`);
    const rows = await this.context.prisma.delivery.findMany({
      where: { mergeId, projectId, ...(after === undefined ? {} : { id: { lt: after } }) },
      orderBy: { id: 'desc' },
      take: limit + 1,
      ...withoutBody,
    });
    return toPage(rows, limit, (row) => row);
  }
}
