import { AmalgamError } from '@amalgam/contracts';
import type { QueueLog } from './port.js';

const REPEAT_AFTER_MS = 10_000;

/** Turns a driver's failure into the one that users meet. */
export function unavailable(kind: string, error: unknown): AmalgamError {
  return new AmalgamError('unavailable', `the queue (${kind}) does not answer: ${messageOf(error)}`, { cause: error });
}

export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // A refused connection to a name with several addresses is an AggregateError without a message.
  return error.message || ('code' in error ? String(error.code) : error.name);
}

/**
 * A listener for 'error' events. Without one Node ends the process; with one per connection and per reconnect
 * attempt the log drowns, so the same message is told once in ten seconds.
 */
export function errorListener(log: QueueLog | undefined, fields: object): (error: unknown) => void {
  const told = new Map<string, number>();
  return (error) => {
    const message = messageOf(error);
    const now = Date.now();
    if (now - (told.get(message) ?? Number.NEGATIVE_INFINITY) < REPEAT_AFTER_MS) return;
    if (told.size > 100) told.clear();
    told.set(message, now);
    log?.warn({ ...fields, error: message }, 'queue connection error');
  };
}
