import { randomBytes } from 'node:crypto';
import { AmalgamError } from '@amalgam/contracts';
import { Webhook } from 'standardwebhooks';

/** The headers of Standard Webhooks 1.0. */
export interface SignedHeaders {
  'webhook-id': string;
  'webhook-timestamp': string;
  'webhook-signature': string;
}

/** A signing secret: `whsec_` and the base64 of 32 random bytes. */
export function newSecret(): string {
  return `whsec_${randomBytes(32).toString('base64')}`;
}

/** Refuses a secret that is not `whsec_` and the base64 of 24 to 64 bytes; the message does not hold it. */
export function checkSecret(secret: string): void {
  const [, encoded] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret) ?? [];
  const bytes = encoded === undefined ? Buffer.alloc(0) : Buffer.from(encoded, 'base64');
  if (bytes.length < 24 || bytes.length > 64 || bytes.toString('base64') !== encoded) {
    throw new AmalgamError('invalid_request', 'a webhook secret must be whsec_ and the base64 of 24 to 64 bytes');
  }
}

/**
 * The headers for one attempt. `id` is the same for every attempt of a delivery (receivers drop repeats by it),
 * `timestamp` is the attempt's. With several secrets, while one replaces another, each signs.
 */
export function signedHeaders(
  secrets: string | readonly string[],
  id: string,
  timestamp: Date,
  body: string,
): SignedHeaders {
  const signers = typeof secrets === 'string' ? [secrets] : secrets;
  if (signers.length === 0) throw new TypeError('a webhook needs a secret');
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(timestamp.getTime() / 1000)),
    'webhook-signature': signers.map((secret) => new Webhook(secret).sign(id, timestamp, body)).join(' '),
  };
}
