import type { Delivery } from '@amalgam/contracts';
import type { Delivery as Row } from '../generated/client.js';

/** A delivery without its body and secret. */
export type DeliveryRow = Omit<Row, 'body' | 'secret'>;

/** The contract's Delivery. */
export function toDeliveryResource(row: DeliveryRow): Delivery {
  return {
    object: 'delivery',
    id: row.id,
    event_id: row.eventId,
    merge_id: row.mergeId,
    url: row.url,
    state: row.state,
    attempts: row.attempts,
    last_status: row.lastStatus,
    last_error: row.lastError,
    next_attempt_at: row.nextAttemptAt?.toISOString() ?? null,
    created_at: row.createdAt.toISOString(),
  };
}
