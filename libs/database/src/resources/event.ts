import type { EndpointEventType, MergeEvent, ProjectEvent } from '@amalgam/contracts';
import { fromRowMergeEventType } from '../event-types.js';
import type { Event } from '../generated/client.js';
import { toNumber } from '../json.js';

type Row<Key extends keyof Event> = Omit<Event, Key> & { [K in Key]: NonNullable<Event[K]> };

/** An event of a merge. */
export type MergeEventRow = Row<'mergeId' | 'seq'>;

/** An event that has its place among the project's, with its type as the database holds it. */
export type PlacedEventRow = Omit<Row<'position'>, 'type'> & { type: EndpointEventType };

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
    type: row.type,
    merge_id: row.mergeId,
    seq: row.seq,
    endpoint_id: row.endpointId,
    data: row.data as Record<string, unknown>,
    created_at: row.createdAt.toISOString(),
  };
}
