import type { IncomingHttpHeaders } from 'node:http';
import { AmalgamError } from '@amalgam/contracts';

/** Whether a request asks for server-sent events. */
export function wantsStream({ accept }: IncomingHttpHeaders): boolean {
  return accept !== undefined && /\btext\/event-stream\b/i.test(accept);
}

/**
 * The Last-Event-ID of a client that comes back, `most` or less; undefined for one that is new.
 *
 * @throws AmalgamError `invalid_request`
 */
export function lastEventId(headers: IncomingHttpHeaders, most: number): number | undefined {
  const header = headers['last-event-id'];
  if (header === undefined || header === '') return undefined;
  if (typeof header === 'string' && /^\d+$/.test(header) && Number(header) <= most) return Number(header);
  const detail = 'Last-Event-ID must be the number of an event';
  throw new AmalgamError('invalid_request', detail, { errors: [{ pointer: '/last-event-id', detail }] });
}
