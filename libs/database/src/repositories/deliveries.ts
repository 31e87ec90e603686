import {
  AmalgamError,
  DELIVERY_TYPES,
  type DeliveryState,
  type DeliveryType,
  type DisabledReason,
  isDroppable,
  type List,
} from '@amalgam/contracts';
import { type Context, notifyDeliveries, type Tx } from '../context.js';
import { enqueueDelivery } from '../create-deliveries.js';
import { disableEndpoint, disableOwnWebhook, lockEndpoint } from '../endpoint-state.js';
import type { Delivery, Prisma } from '../generated/client.js';
import { storable, toJson } from '../json.js';
import { type PageRequest, parsePage, toPage } from '../paging.js';
import type { DeliveryDetailsRow, DeliveryRow } from '../resources/delivery.js';
import { livingSecrets } from '../resources/webhook-endpoint.js';
import { databaseNow, inTransaction } from '../transaction.js';

export const withoutBody = { omit: { body: true, secret: true } } as const satisfies Prisma.DeliveryDefaultArgs;
const MAX_ERROR = 1000;
const SHOWN_TRIES = 50;
const BATCH = 500;

/** What nobody asks for again once it is late: left out of "everything that failed" unless it is named. */
const LASTING: DeliveryType[] = DELIVERY_TYPES.filter((type) => !isDroppable(type) && type !== 'webhook.test');

/** A delivery with what is needed to send it. */
export interface OutgoingDelivery extends Omit<DeliveryRow, 'type'> {
  /** A failed merge.progress may be dropped, and a test is tried once; the others must arrive. */
  type: DeliveryType;
  /** The exact text to sign and send. */
  body: string;
  /** Opened, the newest first; those that were replaced a short time ago sign too. None: it cannot be sent. */
  secrets: string[];
  /** False when its endpoint gets nothing any more. */
  enabled: boolean;
}

/** What was sent in one try, and what came back. */
export interface SentRequest {
  url: string;
  startedAt: Date;
  durationMs: number;
  headers: Record<string, string>;
  responseHead: string;
}

/**
 * What came of one try. Exactly one of `state` and `nextAttemptAt`: it is over, or there is another try then. Without
 * `sent` nothing was tried. `disable` says that the endpoint failed for good.
 */
export type DeliveryAttempt = {
  status?: number;
  error?: string;
  sent?: SentRequest;
  disable?: Exclude<DisabledReason, 'user'>;
} & ({ state: 'succeeded' | 'failed'; nextAttemptAt?: never } | { nextAttemptAt: Date; state?: never });

/** What became of an attempt's news. */
export interface Noted {
  /** False, and nothing is noted, when the delivery was over already. */
  noted: boolean;
  /** The endpoint was disabled just now. */
  disabled: boolean;
}

export interface DeliveryFilter extends PageRequest {
  state?: DeliveryState;
  type?: DeliveryType;
  createdAfter?: Date;
  createdBefore?: Date;
}

export class DeliveryRepository {
  constructor(private readonly context: Context) {}

  /** For the sender, which knows an id from the queue; null when there is none. */
  async get(id: string): Promise<OutgoingDelivery | null> {
    const row = await this.context.prisma.delivery.findUnique({ where: { id }, include: { endpoint: true } });
    if (row === null) return null;
    const { endpoint, secret, ...rest } = row;
    const { vault } = this.context;
    const type = rest.type as DeliveryType;
    if (endpoint !== null) {
      const sealed = [endpoint.secret, ...livingSecrets(endpoint, new Date()).map((old) => old.secret)];
      const secrets = sealed.map((text) => vault.open(text, endpoint.id));
      return { ...rest, type, secrets, enabled: endpoint.enabled || type === 'webhook.test' };
    }
    return { ...rest, type, secrets: secret === null ? [] : [vault.open(secret, row.mergeId ?? '')], enabled: true };
  }

  /**
   * Notes one try. With `nextAttemptAt` the next one goes through the outbox, due then: the queue needs no delay of
   * its own.
   */
  async recordAttempt(id: string, attempt: DeliveryAttempt): Promise<Noted> {
    return inTransaction(this.context, async (tx) => {
      const { sent, nextAttemptAt, state, disable } = attempt;
      const tried = sent === undefined ? 0 : 1;
      // Locks come in one order: endpoint or merge, then deliveries.
      if (disable !== undefined) {
        await tx.$queryRaw`
          SELECT 1 FROM webhook_endpoints e JOIN deliveries d ON d.endpoint_id = e.id WHERE d.id = ${id}
          FOR NO KEY UPDATE OF e`;
        await tx.$queryRaw`
          SELECT 1 FROM merges m JOIN deliveries d ON d.merge_id = m.id AND d.endpoint_id IS NULL WHERE d.id = ${id}
          FOR NO KEY UPDATE OF m`;
      }
      const error = attempt.error === undefined ? null : storable(attempt.error.slice(0, MAX_ERROR));
      const [row] = await tx.delivery.updateManyAndReturn({
        where: { id, state: 'pending' },
        data: {
          attempts: { increment: tried },
          scheduleStep: { increment: tried },
          lastStatus: attempt.status ?? null,
          lastError: error,
          nextAttemptAt: nextAttemptAt ?? null,
          ...(state === undefined ? {} : { state, finishedAt: await databaseNow(tx) }),
        },
        select: { attempts: true, projectId: true, endpointId: true, mergeId: true, scheduledAt: true },
      });
      if (row === undefined) return { noted: false, disabled: false };
      if (sent !== undefined) {
        await tx.deliveryTry.create({
          data: {
            deliveryId: id,
            number: row.attempts,
            url: sent.url,
            startedAt: sent.startedAt,
            durationMs: sent.durationMs,
            requestHeaders: toJson(sent.headers),
            status: attempt.status ?? null,
            responseHead: storable(sent.responseHead),
            error,
          },
          select: { number: true },
        });
      }
      if (nextAttemptAt !== undefined) {
        await forgetWaiting(tx, [id]);
        await enqueueDelivery(tx, id, nextAttemptAt);
      }
      const { projectId, endpointId, mergeId } = row;
      if (endpointId !== null) await notifyDeliveries(tx, projectId, [endpointId]);
      if (disable === undefined) return { noted: true, disabled: false };
      const since = disable === 'exhausted' ? row.scheduledAt : null;
      if (endpointId !== null) return { noted: true, disabled: await disableEndpoint(tx, endpointId, disable, since) };
      return { noted: true, disabled: mergeId !== null && (await disableOwnWebhook(tx, mergeId, disable, since)) };
    });
  }

  /** Its turn comes later, and nothing was tried: it goes through the outbox again, due then. */
  async postpone(id: string, until: Date): Promise<void> {
    await inTransaction(this.context, async (tx) => {
      const [row] = await tx.delivery.updateManyAndReturn({
        where: { id, state: 'pending' },
        data: { nextAttemptAt: until },
        select: { projectId: true, endpointId: true },
      });
      if (row === undefined) return;
      await forgetWaiting(tx, [id]);
      await enqueueDelivery(tx, id, until);
      if (row.endpointId !== null) await notifyDeliveries(tx, row.projectId, [row.endpointId]);
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
      await enqueueDelivery(tx, id);
      return true;
    });
  }

  /**
   * The user asks for it to be sent again, whatever came of it: the same bytes under the same id, at once and then by
   * the schedule from its beginning. A merge's own webhook that was disabled is enabled by that. Throws `not_found`, and
   * `endpoint_disabled` when its endpoint gets nothing.
   */
  async redeliver(projectId: string, id: string): Promise<DeliveryRow> {
    return inTransaction(this.context, async (tx) => {
      const row = await tx.delivery.findUnique({
        where: { id, projectId },
        select: { endpointId: true, mergeId: true, type: true },
      });
      if (row === null) throw new AmalgamError('not_found', `there is no delivery ${id}`);
      const { endpointId, mergeId, type } = row;
      if (endpointId === null && mergeId !== null) {
        await tx.merge.updateMany({
          where: { id: mergeId, webhookDisabledAt: { not: null } },
          data: { webhookDisabledAt: null, webhookDisabledReason: null },
        });
      }
      if (endpointId !== null) {
        await lockEnabled(tx, projectId, endpointId, type === 'webhook.test');
        await notifyDeliveries(tx, projectId, [endpointId]);
      }
      await sendAgain(tx, [id]);
      return tx.delivery.findUniqueOrThrow({ where: { id }, ...withoutBody });
    });
  }

  /**
   * The same for all deliveries to an endpoint that were made since then and have failed, or whose last try has and whose next
   * one is still to come; without a type, for all but progress and tests. Returns how many. Throws `not_found` and
   * `endpoint_disabled`.
   */
  async redeliverFailed(projectId: string, endpointId: string, since: Date, type?: DeliveryType): Promise<number> {
    const types = type === undefined ? LASTING : [type];
    const failed = await inTransaction(this.context, async (tx) => {
      await lockEnabled(tx, projectId, endpointId, false);
      return tx.delivery.findMany({
        where: {
          ...{ endpointId, createdAt: { gte: since }, type: { in: types } },
          OR: [
            { state: 'failed' },
            { state: 'pending', scheduleStep: { gt: 0 }, nextAttemptAt: { gt: await databaseNow(tx) } },
          ],
        },
        orderBy: { id: 'asc' },
        select: { id: true },
      });
    });
    // In batches, so that no transaction is long; one that fails again meanwhile is not sent twice.
    for (let from = 0; from < failed.length; from += BATCH) {
      const ids = failed.slice(from, from + BATCH).map(({ id }) => id);
      await inTransaction(this.context, async (tx) => {
        await lockEnabled(tx, projectId, endpointId, false);
        await sendAgain(tx, ids);
        await notifyDeliveries(tx, projectId, [endpointId]);
      });
    }
    return failed.length;
  }

  /** Null when the project has no such delivery. */
  async find(projectId: string, id: string): Promise<DeliveryDetailsRow | null> {
    return this.context.prisma.delivery.findUnique({
      where: { id, projectId },
      omit: { secret: true },
      include: { tries: { orderBy: { number: 'desc' }, take: SHOWN_TRIES } },
    });
  }

  /** Newest first. Throws `not_found` when the project has no such merge. */
  async listByMerge(projectId: string, mergeId: string, page: PageRequest = {}): Promise<List<DeliveryRow>> {
    const merge = await this.context.prisma.merge.findUnique({
      where: { id: mergeId, projectId },
      select: { id: true },
    });
    if (merge === null) throw new AmalgamError('not_found', `there is no merge ${mergeId}`);
    return this.#list({ mergeId, projectId }, page);
  }

  /** Newest first. Throws `not_found` when the project has no such endpoint. */
  async listByEndpoint(projectId: string, endpointId: string, filter: DeliveryFilter = {}): Promise<List<DeliveryRow>> {
    const endpoint = await this.context.prisma.webhookEndpoint.findUnique({
      where: { id: endpointId, projectId },
      select: { id: true },
    });
    if (endpoint === null) throw new AmalgamError('not_found', `there is no webhook endpoint ${endpointId}`);
    const { state, type, createdAfter, createdBefore } = filter;
    const where = {
      endpointId,
      projectId,
      ...(state === undefined ? {} : { state }),
      ...(type === undefined ? {} : { type }),
      createdAt: {
        ...(createdAfter === undefined ? {} : { gt: createdAfter }),
        ...(createdBefore === undefined ? {} : { lt: createdBefore }),
      },
    };
    return this.#list(where, filter);
  }

  /** Deletes deliveries that ended longer ago than this; returns how many. */
  async purge(olderThanMs: number): Promise<number> {
    return this.context.prisma.$executeRaw`
      DELETE FROM deliveries WHERE state IN ('succeeded', 'failed')
        AND finished_at < clock_timestamp() - ${olderThanMs}::float8 * interval '1 millisecond'`;
  }

  async #list(where: Prisma.DeliveryWhereInput, page: PageRequest): Promise<List<DeliveryRow>> {
    const { limit, after } = parsePage('delivery', page);
    const rows = await this.context.prisma.delivery.findMany({
      where: { ...where, ...(after === undefined ? {} : { id: { lt: after } }) },
      orderBy: { id: 'desc' },
      take: limit + 1,
      ...withoutBody,
    });
    return toPage(rows, limit, (row) => row);
  }
}

async function lockEnabled(tx: Tx, projectId: string, endpointId: string, always: boolean): Promise<void> {
  const { enabled } = await lockEndpoint(tx, projectId, endpointId);
  if (enabled || always) return;
  throw new AmalgamError('endpoint_disabled', `${endpointId} is disabled; enable it first`);
}

/** Makes deliveries pending and due now, to where their endpoint is now. */
async function sendAgain(tx: Tx, ids: string[]): Promise<void> {
  await tx.$executeRaw`
    UPDATE deliveries d
    SET state = 'pending', schedule_step = 0, scheduled_at = clock_timestamp(), next_attempt_at = clock_timestamp(),
        finished_at = NULL, url = COALESCE((SELECT e.url FROM webhook_endpoints e WHERE e.id = d.endpoint_id), d.url)
    WHERE d.id = ANY(${ids}::text[])`;
  await forgetWaiting(tx, ids);
  for (const id of ids) await enqueueDelivery(tx, id);
}

/** A retry that waits for its time is replaced by what comes now. */
async function forgetWaiting(tx: Tx, ids: Delivery['id'][]): Promise<void> {
  await tx.$executeRaw`DELETE FROM outbox WHERE subject_id = ANY(${ids}::text[]) AND dispatched_at IS NULL`;
}
