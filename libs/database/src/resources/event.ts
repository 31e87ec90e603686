import type { MergeEvent } from '@amalgam/contracts';
import { fromRowEventType } from '../event-types.js';
import type { Event } from '../generated/client.js';

/** The contract's MergeEvent. */
export function toEventResource(row: Event): MergeEvent {
  return {
    object: 'event',
    id: row.id,
    merge_id: row.mergeId,
    seq: row.seq,
    type: fromRowEventType(row.type),
    data: row.data as Record<string, unknown>,
    created_at: row.createdAt.toISOString(),
  };
}
