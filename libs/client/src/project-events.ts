import { AmalgamError, type DeliveriesChanged, type EndpointEventType, type ProjectEvent } from '@amalgam/contracts';
import { backoff, pause } from './pause.js';
import { readFrames } from './sse.js';
import { StreamConnection } from './stream-connection.js';
import type { Transport } from './transport.js';

export interface ProjectEventQuery {
  /** Any of these; default: all. */
  types?: readonly EndpointEventType[];
  /** Of this merge only. */
  merge?: string;
  /** Those that were written then or later; ISO 8601. */
  since?: string;
}

export interface ProjectEventOptions extends ProjectEventQuery {
  /** Position of the last event that is known; default: what comes from now on. */
  after?: number;
  signal?: AbortSignal;
  /** Told when the stream is open, and when it is lost (or cannot be had) and is being opened again; each change once. */
  onConnection?(state: 'open' | 'lost'): void;
  /** Told when deliveries to an endpoint were made, tried or ended. That is no event: what changes while the stream is lost is not told. */
  onDeliveries?(endpointId: string): void;
}

export function toEventQuery({ types, merge, since }: ProjectEventQuery) {
  return { type: types, merge, since };
}

/**
 * The events of a project as they are written, without an end. A connection that breaks, or that the service ends, is made
 * again for as long as it takes, and goes on after the last position that was seen: nothing is lost or comes twice.
 *
 * @throws ApiError what the service refuses, `unauthorized` when the key no longer opens anything
 */
export async function* followProject(
  transport: Transport,
  { after, signal, onConnection, onDeliveries, ...query }: ProjectEventOptions = {},
): AsyncGenerator<ProjectEvent> {
  let last = after;
  let told: 'open' | 'lost' | undefined;
  const tell = (state: 'open' | 'lost') => {
    if (state !== told) onConnection?.(state);
    told = state;
  };
  for (let failures = 1; ; failures++) {
    const connection = new StreamConnection(signal);
    let open = false;
    try {
      const response = await transport.send('GET', '/v1/events', {
        query: { ...toEventQuery(query), ...(onDeliveries === undefined ? {} : { deliveries: true }) },
        headers: { accept: 'text/event-stream', ...(last === undefined ? {} : { 'last-event-id': String(last) }) },
        signal: connection.signal,
      });
      if (response.body === null) throw new AmalgamError('unavailable', 'the event stream has no body');
      // The first id says where the stream is, before any event.
      const onId = (id: string) => {
        last = Number(id);
        if (open) return;
        open = true;
        failures = 1;
        tell('open');
      };
      for await (const { event, data } of readFrames(connection.watch(response.body), onId)) {
        if (event === 'deliveries.changed') onDeliveries?.((JSON.parse(data) as DeliveriesChanged).endpoint_id);
        else yield JSON.parse(data) as ProjectEvent;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (isRefusal(error)) throw error;
    } finally {
      connection.close();
    }
    tell('lost');
    await pause(backoff(failures), signal);
  }
}

/** What does not pass by itself: the key, or the question, is wrong. */
function isRefusal(error: unknown): boolean {
  return error instanceof AmalgamError && error.status < 500 && error.code !== 'rate_limited';
}
