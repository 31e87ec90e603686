import { AmalgamError, type DisabledReason } from '@amalgam/contracts';
import { CHANNELS, notify, type Tx } from './context.js';
import { ENDPOINT_DISABLED, tellDisabled } from './create-deliveries.js';
import { toRowEventType } from './event-types.js';
import { Prisma } from './generated/client.js';
import { newId } from './ids.js';
import { toJson } from './json.js';
import type { WebhookEndpointRow } from './resources/webhook-endpoint.js';
import { databaseNow } from './transaction.js';

/** The endpoint, locked against other changes; `not_found` when the project has no such one. */
export async function lockEndpoint(tx: Tx, projectId: string, id: string): Promise<WebhookEndpointRow> {
  await tx.$queryRaw`SELECT 1 FROM webhook_endpoints WHERE id = ${id} FOR NO KEY UPDATE`;
  const row = await tx.webhookEndpoint.findUnique({ where: { id, projectId } });
  if (row === null) throw new AmalgamError('not_found', `there is no webhook endpoint ${id}`);
  return row;
}

/** Ends an endpoint's deliveries that wait for their next try; they can be sent again once it is enabled. */
export async function endPending(tx: Tx, endpointId: string): Promise<void> {
  await endDeliveries(tx, Prisma.sql`endpoint_id = ${endpointId} AND type <> 'webhook.test'`);
}

async function endDeliveries(tx: Tx, where: Prisma.Sql): Promise<void> {
  await tx.$executeRaw`
    WITH over AS (
      UPDATE deliveries SET state = 'failed', last_error = ${ENDPOINT_DISABLED}, next_attempt_at = NULL,
             finished_at = clock_timestamp()
      WHERE ${where} AND state = 'pending' RETURNING id
    ) DELETE FROM outbox USING over WHERE outbox.subject_id = over.id AND outbox.dispatched_at IS NULL`;
}

/**
 * Disables an endpoint that failed, and tells the others of its project. One that has taken another delivery since
 * `notSince` works, and stays as it is. True when it was disabled just now.
 */
export async function disableEndpoint(
  tx: Tx,
  endpointId: string,
  reason: Exclude<DisabledReason, 'user'>,
  notSince: Date | null,
): Promise<boolean> {
  const now = await databaseNow(tx);
  const changed = await tx.$executeRaw`
    UPDATE webhook_endpoints e SET enabled = false, disabled_reason = ${reason}::disabled_reason,
           disabled_at = ${now}::timestamptz, updated_at = ${now}::timestamptz
    WHERE e.id = ${endpointId} AND e.enabled AND NOT EXISTS (
      SELECT 1 FROM deliveries d
      WHERE d.endpoint_id = e.id AND d.state = 'succeeded' AND d.finished_at > ${notSince}::timestamptz)`;
  if (changed === 0) return false;
  await endPending(tx, endpointId);
  const endpoint = await tx.webhookEndpoint.findUniqueOrThrow({ where: { id: endpointId } });
  await tellDisabled(tx, endpoint, await recordDisabled(tx, endpoint, now), now);
  return true;
}

/**
 * The same for the webhook that a merge brought along, whose row is locked. Nothing tells of it but the event and the
 * merge itself.
 */
export async function disableOwnWebhook(
  tx: Tx,
  mergeId: string,
  reason: Exclude<DisabledReason, 'user'>,
  notSince: Date | null,
): Promise<boolean> {
  const now = await databaseNow(tx);
  const [merge] = await tx.$queryRaw<{ projectId: string; url: string }[]>`
    UPDATE merges m SET webhook_disabled_reason = ${reason}::disabled_reason, webhook_disabled_at = ${now}::timestamptz
    WHERE m.id = ${mergeId} AND m.webhook_url IS NOT NULL AND m.webhook_disabled_at IS NULL AND NOT EXISTS (
      SELECT 1 FROM deliveries d WHERE d.merge_id = m.id AND d.endpoint_id IS NULL
        AND d.state = 'succeeded' AND d.finished_at > ${notSince}::timestamptz)
    RETURNING m.project_id AS "projectId", m.webhook_url AS url`;
  if (merge === undefined) return false;
  await endDeliveries(tx, Prisma.sql`merge_id = ${mergeId} AND endpoint_id IS NULL`);
  const { projectId, url } = merge;
  await writeDisabled(tx, { projectId, mergeId, data: { reason, url }, createdAt: now });
  return true;
}

/** The event of it; returns its id. */
async function recordDisabled(tx: Tx, endpoint: WebhookEndpointRow, createdAt: Date): Promise<string> {
  const { id: endpointId, projectId, url, disabledReason: reason } = endpoint;
  return writeDisabled(tx, { projectId, endpointId, data: { reason, url }, createdAt });
}

/** It has no number within its merge: the merge's own stream does not tell of it. */
async function writeDisabled(
  tx: Tx,
  event: { projectId: string; endpointId?: string; mergeId?: string; data: object; createdAt: Date },
): Promise<string> {
  const id = newId('event');
  const type = toRowEventType('webhook.disabled');
  await tx.event.create({ data: { ...event, id, type, data: toJson(event.data) }, select: { id: true } });
  await notify(tx, CHANNELS.events, event.projectId);
  return id;
}
