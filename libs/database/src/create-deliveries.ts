import { type DeliveryType, type EndpointWebhookBody, isDroppable } from '@amalgam/contracts';
import { notifyDeliveries, type Tx } from './context.js';
import { toRowEventType } from './event-types.js';
import { Prisma } from './generated/client.js';
import { newId } from './ids.js';
import type { WrittenEvent } from './record-event.js';
import { enqueue } from './repositories/outbox.js';
import { type MergeRow, toMergeResource } from './resources/merge.js';
import { toWebhookEndpointResource, type WebhookEndpointRow } from './resources/webhook-endpoint.js';
import { mergeBody } from './webhook-body.js';

/** Of a delivery whose endpoint gets nothing any more; also for its owner to read. */
export const ENDPOINT_DISABLED = 'the endpoint is disabled';

/**
 * Which endpoints `e` get events of this type: those that are enabled, and those that were disabled because they failed,
 * for which the event is kept until somebody asks for it to be sent.
 */
export function wantedBy(type: DeliveryType): Prisma.Sql {
  const kept = isDroppable(type) ? Prisma.empty : Prisma.sql`OR e.disabled_reason = 'exhausted'`;
  return Prisma.sql`${type}::text = ANY(e.events) AND (e.enabled ${kept})`;
}

interface Target {
  id: string;
  url: string;
  enabled: boolean;
}

/** The lock keeps them from being deleted before this transaction ends; it waits for nothing but a deletion. */
async function targetsOf(tx: Tx, projectId: string, type: DeliveryType): Promise<Target[]> {
  return tx.$queryRaw<Target[]>`
    SELECT e.id, e.url, e.enabled FROM webhook_endpoints e
    WHERE e.project_id = ${projectId} AND ${wantedBy(type)} ORDER BY e.id FOR KEY SHARE`;
}

/** The deliveries of a merge's event: to the webhook that it brought along, and to its project's endpoints. */
export async function createDeliveries(tx: Tx, merge: MergeRow, event: WrittenEvent): Promise<void> {
  const { type, createdAt } = event;
  const takes = merge.webhookDisabledAt === null && merge.webhookEvents.includes(toRowEventType(type));
  const own = takes ? merge.webhookUrl : null;
  const targets = await targetsOf(tx, merge.projectId, type);
  if (own === null && targets.length === 0) return;
  const news = { type, createdAt, projectId: merge.projectId, mergeId: merge.id, eventId: event.id };
  const body = mergeBody(type, createdAt, toMergeResource(merge));
  if (own !== null) await insertDelivery(tx, { ...news, body, url: own, secret: merge.webhookSecret });
  await insertDeliveries(tx, { ...news, body }, targets);
}

/** Tells the other endpoints of the project. */
export async function tellDisabled(tx: Tx, endpoint: WebhookEndpointRow, eventId: string, at: Date): Promise<void> {
  const type = 'webhook.disabled';
  const { projectId } = endpoint;
  const targets = (await targetsOf(tx, projectId, type)).filter(({ id }) => id !== endpoint.id);
  const body = JSON.stringify(endpointBody(type, endpoint, at));
  await insertDeliveries(tx, { type, createdAt: at, projectId, eventId, body }, targets);
}

async function insertDeliveries(tx: Tx, news: Omit<NewDelivery, 'url'>, targets: readonly Target[]): Promise<void> {
  if (targets.length === 0) return;
  for (const target of targets) await insertDelivery(tx, { ...news, ...to(target) });
  await notifyDeliveries(
    tx,
    news.projectId,
    targets.map(({ id }) => id),
  );
}

export function endpointBody(
  type: EndpointWebhookBody['type'],
  endpoint: WebhookEndpointRow,
  at: Date,
): EndpointWebhookBody {
  return { type, timestamp: at.toISOString(), data: toWebhookEndpointResource(endpoint) };
}

export interface NewDelivery {
  projectId: string;
  type: DeliveryType;
  url: string;
  body: string;
  createdAt: Date;
  endpointId?: string;
  mergeId?: string;
  eventId?: string;
  /** Sealed; null for endpoints, which have their own. */
  secret?: string | null;
  /** Kept for later, since its endpoint is disabled. */
  kept?: boolean;
}

/** Writes a delivery and, unless it is kept for later, its outbox row. Returns its id; whoever calls it tells of it. */
export async function insertDelivery(tx: Tx, { kept = false, ...delivery }: NewDelivery): Promise<string> {
  const id = newId('delivery');
  const { createdAt } = delivery;
  const over = { state: 'failed', lastError: ENDPOINT_DISABLED, finishedAt: createdAt } as const;
  await tx.delivery.create({
    data: { ...delivery, id, ...(kept ? over : { nextAttemptAt: createdAt }) },
    select: { id: true },
  });
  if (!kept) await enqueueDelivery(tx, id);
  return id;
}

export async function enqueueDelivery(tx: Tx, id: string, availableAt?: Date): Promise<void> {
  await enqueue(tx, { kind: 'delivery', subjectId: id, payload: { delivery_id: id } }, availableAt);
}

function to({ id, url, enabled }: Target): Pick<NewDelivery, 'endpointId' | 'url' | 'kept'> {
  return { endpointId: id, url, kept: !enabled };
}
