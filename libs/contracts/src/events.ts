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

/** What an endpoint may ask for: news of merges, and that another endpoint of its project was disabled. */
export const ENDPOINT_EVENT_TYPES = [...EVENT_TYPES, 'webhook.disabled'] as const;
export type EndpointEventType = (typeof ENDPOINT_EVENT_TYPES)[number];

/** What a delivery may be of; a test comes to any endpoint that it is asked for. */
export const DELIVERY_TYPES = [...ENDPOINT_EVENT_TYPES, 'webhook.test'] as const;
export type DeliveryType = (typeof DELIVERY_TYPES)[number];

/** Worth nothing later: tried once, and not at all when it has waited for long. All other types are never dropped. */
export function isDroppable(type: DeliveryType): boolean {
  return type === 'merge.progress';
}

/** What an endpoint gets unless it asks for others. */
export const DEFAULT_ENDPOINT_EVENTS: EndpointEventType[] = ENDPOINT_EVENT_TYPES.filter((type) => !isDroppable(type));

/** What a merge's own webhook gets unless it asks for others. */
export const DEFAULT_WEBHOOK_EVENTS: EventType[] = EVENT_TYPES.filter((type) => type !== 'merge.progress');

/** The event after which a merge's stream ends. A retry begins a new run of events with higher numbers. */
export function isFinalEvent(type: EventType): boolean {
  return type === 'merge.succeeded' || type === 'merge.failed' || type === 'merge.canceled';
}

/** At most one progress event in this many milliseconds. */
export const PROGRESS_INTERVAL_MS = 500;
