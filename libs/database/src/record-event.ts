import { AmalgamError, type EventType } from '@amalgam/contracts';
import { CHANNELS, type Tx } from './context.js';
import { createDeliveries, wantedBy } from './create-deliveries.js';
import { newId } from './ids.js';
import { readMerge } from './resources/read-merges.js';

/** An event that this transaction has written. */
export interface WrittenEvent {
  id: string;
  type: EventType;
  createdAt: Date;
}

interface Recorded {
  createdAt: Date;
  /** The merge has a webhook, or its project an endpoint, that wants events of this type. */
  wanted: boolean;
}

/**
 * Writes an event of a merge, with the webhook deliveries that it causes. It must be the last change of its
 * transaction, whose row lock on the merge makes the numbers free of holes and the deliveries' body true to the state.
 */
export async function recordEvent(
  tx: Tx,
  mergeId: string,
  type: EventType,
  data: Record<string, unknown>,
): Promise<void> {
  const id = newId('event');
  // One statement, because every state change of every merge waits for its round trips.
  const [event] = await tx.$queryRaw<Recorded[]>`
    WITH merge AS (
      UPDATE merges SET last_event_seq = last_event_seq + 1 WHERE id = ${mergeId}
      RETURNING id, project_id, last_event_seq,
        webhook_url IS NOT NULL AND webhook_disabled_at IS NULL AND ${type}::event_type = ANY(webhook_events) OR EXISTS (
        SELECT 1 FROM webhook_endpoints e WHERE e.project_id = merges.project_id AND ${wantedBy(type)}) AS wanted
    ), event AS (
      INSERT INTO events (id, project_id, merge_id, seq, type, data)
      SELECT ${id}, merge.project_id, merge.id, merge.last_event_seq, ${type}::event_type, ${JSON.stringify(data)}::json FROM merge
      RETURNING created_at
    )
    SELECT event.created_at AS "createdAt", merge.wanted,
           pg_notify(${CHANNELS.events}, merge.project_id || ' ' || merge.id)::text AS notified
    FROM merge, event`;
  if (event === undefined) throw new AmalgamError('internal', `there is no merge ${mergeId} to record ${type} of`);
  if (!event.wanted) return;
  const merge = await readMerge(tx, mergeId);
  if (merge !== null) await createDeliveries(tx, merge, { id, type, createdAt: event.createdAt });
}
