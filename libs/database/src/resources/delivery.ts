import type { Delivery, DeliveryDetails, DeliveryTry, DeliveryType } from '@amalgam/contracts';
import type { Delivery as Columns, DeliveryTry as TryColumns } from '../generated/client.js';

/** A delivery without its body and secret. */
export type DeliveryRow = Omit<Columns, 'body' | 'secret'>;

/** With its body and its tries, the newest first. */
export type DeliveryDetailsRow = DeliveryRow & { body: string; tries: TryColumns[] };

/** The contract's Delivery. */
export function toDeliveryResource(row: DeliveryRow): Delivery {
  return {
    object: 'delivery',
    id: row.id,
    type: row.type as DeliveryType,
    endpoint_id: row.endpointId,
    event_id: row.eventId,
    merge_id: row.mergeId,
    url: row.url,
    state: row.state,
    attempts: row.attempts,
    last_status: row.lastStatus,
    last_error: row.lastError,
    next_attempt_at: row.nextAttemptAt?.toISOString() ?? null,
    created_at: row.createdAt.toISOString(),
    finished_at: row.finishedAt?.toISOString() ?? null,
  };
}

/** The contract's DeliveryDetails. */
export function toDeliveryDetails(row: DeliveryDetailsRow): DeliveryDetails {
  return { ...toDeliveryResource(row), body: row.body, tries: row.tries.map(toTryResource).reverse() };
}

function toTryResource(row: TryColumns): DeliveryTry {
  return {
    number: row.number,
    url: row.url,
    started_at: row.startedAt.toISOString(),
    duration_ms: row.durationMs,
    request_headers: row.requestHeaders as Record<string, string>,
    status: row.status,
    response_head: row.responseHead,
    error: row.error,
  };
}
