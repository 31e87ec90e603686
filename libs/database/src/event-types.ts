import { ENDPOINT_EVENT_TYPES, type EndpointEventType, type EventType } from '@amalgam/contracts';
import type { EventType as RowEventType } from './generated/enums.js';

const TO_ROW = Object.fromEntries(
  ENDPOINT_EVENT_TYPES.map((type) => [type, type.replace('.', '_') as RowEventType]),
) as Record<EndpointEventType, RowEventType>;

const FROM_ROW = Object.fromEntries(ENDPOINT_EVENT_TYPES.map((type) => [TO_ROW[type], type])) as Record<
  RowEventType,
  EndpointEventType
>;

/** "merge.queued" to the name that Prisma's client uses; the database itself holds the contract's name. */
export function toRowEventType(type: EndpointEventType): RowEventType {
  return TO_ROW[type];
}

/** The other way round, for what is written of merges. */
export function fromRowMergeEventType(type: RowEventType): EventType {
  return FROM_ROW[type] as EventType;
}
