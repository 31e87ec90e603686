import type { MergeEvent, ProjectEvent } from '@amalgam/contracts';
import { fromRowEventType, fromRowMergeEventType } from '../event-types.js';
import type { Event } from '../generated/client.js';
import { toNumber } from '../json.js';

type Row<Key extends keyof Event> = Omit<Event, Key> & { [K in Key]: NonNullable<Event[K]> };

/** An event of a merge. */
export type MergeEventRow = Row<'mergeId' | 'seq'>;

/** An event that has its place among the project's. */
export type PlacedEventRow = Row<'position'>;

/** The contract's MergeEvent. */
export function toEventResource(row: MergeEventRow): MergeEvent {
  return {
    object: 'event',
    id: row.id,
    merge_id: row.mergeId,
    seq: row.seq,
    type: fromRowMergeEventType(row.type),
    data: row.data as Record<string, unknown>,
    created_at: row.createdAt.toISOString(),
  };
}

/** The contract's ProjectEvent. */
export function toProjectEventResource(row: PlacedEventRow): ProjectEvent {
  return {
    object: 'event',
    id: row.id,
    position: toNumber(row.position),
    type: fromRowEventType(row.type),
    merge_id: row.mergeId,
    seq: row.seq,
    endpoint_id: row.endpointId,
    data: row.data as Record<string, unknown>,
    created_at: row.createdAt.toISOString(),
  };
}
