import { AmalgamError, isFinalEvent, type MergeEvent } from '@amalgam/contracts';
import { backoff, pause } from './pause.js';
import { readFrames } from './sse.js';
import { StreamConnection } from './stream-connection.js';
import type { Transport } from './transport.js';

export interface EventOptions {
  /** Number of the last event that is known; default 0, from the first. */
  after?: number;
  signal?: AbortSignal;
}

/** Broken connections in a row, without an event between them. */
const MOST_BREAKS = 10;

/**
 * A merge's events, those that were and those to come, until it has ended. A broken connection is made again and goes on
 * after the last number that was seen: nothing is lost or comes twice.
 */
export async function* followEvents(
  transport: Transport,
  mergeId: string,
  { after = 0, signal }: EventOptions = {},
): AsyncGenerator<MergeEvent> {
  let last = after;
  let ended = false;
  for (let breaks = 0; ; ) {
    const connection = new StreamConnection(signal);
    try {
      const response = await transport.send('GET', `/v1/merges/${mergeId}/events`, {
        headers: { accept: 'text/event-stream', 'last-event-id': String(last) },
        signal: connection.signal,
      });
      // Only this says that nothing more will come: a final event may be followed by those of a retry.
      if (response.status === 204 || response.body === null) return;
      for await (const frame of readFrames(connection.watch(response.body))) {
        const event = JSON.parse(frame.data) as MergeEvent;
        if (event.seq <= last) continue;
        last = event.seq;
        breaks = 0;
        ended = isFinalEvent(event.type);
        yield event;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof AmalgamError && error.code !== 'unavailable') throw error;
      // A service that goes away after the last event has said what there was to say.
      if (ended) return;
      if (++breaks >= MOST_BREAKS) throw error;
    } finally {
      connection.close();
    }
    if (!ended) await pause(backoff(breaks + 1), signal);
  }
}
