import { EVENT_TYPES, type EventType } from '@amalgam/contracts';
import type { EventType as RowEventType } from './generated/enums.js';

const TO_ROW = Object.fromEntries(EVENT_TYPES.map((type) => [type, type.replace('.', '_') as RowEventType])) as Record<
  EventType,
  RowEventType
>;

const FROM_ROW = Object.fromEntries(EVENT_TYPES.map((type) => [TO_ROW[type], type])) as Record<RowEventType, EventType>;

/** "merge.queued" to the name that Prisma's client uses; the database itself holds the contract's name. */
export function toRowEventType(type: EventType): RowEventType {
  return TO_ROW[type];
}

export function fromRowEventType(type: RowEventType): EventType {
  return FROM_ROW[type];
}
