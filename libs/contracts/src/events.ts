/** Types of events. All but merge.progress are durable news that a webhook never drops. */
export const EVENT_TYPES = [
  'merge.queued',
  'merge.started',
  'merge.progress',
  'merge.succeeded',
  'merge.failed',
  'merge.canceled',
] as const;
export type EventType = (typeof EVENT_TYPES)[number];

/** What a webhook gets unless it asks for others. */
export const DEFAULT_WEBHOOK_EVENTS: EventType[] = EVENT_TYPES.filter((type) => type !== 'merge.progress');

/** The event after which a merge's stream ends. A retry begins a new run of events with higher numbers. */
export function isFinalEvent(type: EventType): boolean {
  return type === 'merge.succeeded' || type === 'merge.failed' || type === 'merge.canceled';
}

/** At most one progress event in this many milliseconds. */
export const PROGRESS_INTERVAL_MS = 500;
