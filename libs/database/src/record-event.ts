import type { EventType, WebhookBody } from '@amalgam/contracts';
import { CHANNELS, notify, type Tx } from './context.js';
import { toRowEventType } from './event-types.js';
import { newId } from './ids.js';
import { toJson } from './json.js';
import { enqueue } from './repositories/outbox.js';
import { mergeQuery, toMergeResource } from './resources/merge.js';

/**
 * Writes an event of a merge, with the webhook delivery that it causes. It must be the last change of its
 * transaction, whose row lock on the merge makes the numbers free of holes and the delivery's body true to the state.
 */
export async function recordEvent(
  tx: Tx,
  mergeId: string,
  type: EventType,
  data: Record<string, unknown>,
): Promise<void> {
  const rowType = toRowEventType(type);
  const merge = await tx.merge.update({
    where: { id: mergeId },
    data: { lastEventSeq: { increment: 1 } },
    select: { lastEventSeq: true, webhookUrl: true, webhookEvents: true },
  });
  const event = await tx.event.create({
    data: { id: newId('event'), mergeId, seq: merge.lastEventSeq, type: rowType, data: toJson(data) },
    select: { id: true, createdAt: true },
  });
  if (merge.webhookUrl !== null && merge.webhookEvents.includes(rowType)) {
    await createDelivery(tx, mergeId, merge.webhookUrl, type, event);
  }
  await notify(tx, CHANNELS.events, mergeId);
}

async function createDelivery(
  tx: Tx,
  mergeId: string,
  url: string,
  type: EventType,
  event: { id: string; createdAt: Date },
): Promise<void> {
  const merge = await tx.merge.findUniqueOrThrow({ where: { id: mergeId }, ...mergeQuery });
  const body: WebhookBody = { type, timestamp: event.createdAt.toISOString(), data: toMergeResource(merge) };
  const id = newId('delivery');
  await tx.delivery.create({
    data: {
      id,
      projectId: merge.projectId,
      mergeId,
      eventId: event.id,
      url,
      secret: merge.webhookSecret,
      body: JSON.stringify(body),
      nextAttemptAt: event.createdAt,
    },
    select: { id: true },
  });
  await enqueue(tx, { kind: 'delivery', subjectId: id, payload: { delivery_id: id } });
}
