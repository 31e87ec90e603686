import { createHmac, timingSafeEqual } from 'node:crypto';
import { AmalgamError } from '@amalgam/contracts';
import { checkKey } from './keys.js';

/** Where the API serves the file driver's links, below its base URL. */
export const SIGNED_PATH = '/v1/objects/';

interface Grant {
  method: 'GET' | 'PUT';
  key: string;
  /** Seconds since 1970. */
  expires: number;
  /** Size of the body, for PUT. */
  bytes?: number;
  /** Name to save under, for GET. */
  filename?: string;
  /** Number of the part, for PUT of one. */
  part?: number;
}

/** What a valid link allows. */
export interface SignedRequest {
  method: 'GET' | 'PUT';
  key: string;
  /** For PUT: the exact size that the body must have; the server must hold the client to it. */
  bytes: number | null;
  /** For GET: the name for Content-Disposition, when the link has one. */
  filename: string | null;
  /** For PUT: which part of the object the body is; null for the whole. */
  part: number | null;
}

/** A link to an object: HMAC-SHA256 with `secret` over verb, key, expiry, size, name and part. */
export function signUrl(baseUrl: string, secret: string, grant: Grant): string {
  const path = grant.key.split('/').map(encodeURIComponent).join('/');
  const query = new URLSearchParams({ method: grant.method, expires: String(grant.expires) });
  if (grant.bytes !== undefined) query.set('bytes', String(grant.bytes));
  if (grant.filename !== undefined) query.set('filename', grant.filename);
  if (grant.part !== undefined) query.set('part', String(grant.part));
  query.set('signature', signature(secret, grant).toString('hex'));
  return `${baseUrl.replace(/\/+$/, '')}${SIGNED_PATH}${path}?${query}`;
}

/**
 * Checks a request for a link made by `signUrl`. `method` is the request's verb (HEAD is allowed where GET is), `url`
 * its target as the client sent it, with or without origin; `now` is in milliseconds since 1970.
 * @throws link_expired when the link is forged, changed, for another verb, or too old
 */
export function verifySignedUrl(secret: string, method: string, url: string, now = Date.now()): SignedRequest {
  const queryAt = url.indexOf('?');
  const path = queryAt < 0 ? url : url.slice(0, queryAt);
  const query = new URLSearchParams(queryAt < 0 ? '' : url.slice(queryAt));
  const key = keyOf(path);
  const verb = query.get('method');
  const expires = wholeNumber(query.get('expires'));
  const bytes = wholeNumber(query.get('bytes'));
  const filename = query.get('filename');
  const part = wholeNumber(query.get('part'));
  if (key === null || (verb !== 'GET' && verb !== 'PUT') || expires === null) throw wrong();
  const grant: Grant = { method: verb, key, expires };
  if (bytes !== null) grant.bytes = bytes;
  if (filename !== null) grant.filename = filename;
  if (part !== null) grant.part = part;
  const given = Buffer.from(query.get('signature') ?? '', 'hex');
  const expected = signature(secret, grant);
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw wrong();
  if (expires * 1000 <= now) {
    throw new AmalgamError('link_expired', `the link to ${key} expired at ${new Date(expires * 1000).toISOString()}`);
  }
  if ((method === 'HEAD' ? 'GET' : method) !== verb) {
    throw new AmalgamError('link_expired', `the link to ${key} is for ${verb}, not for ${method}`);
  }
  return { method: verb, key, bytes, filename, part };
}

function signature(secret: string, grant: Grant): Buffer {
  // JSON keeps the fields apart: no two grants have one text.
  const { method, key, expires, bytes = null, filename = null, part } = grant;
  const text = JSON.stringify([1, method, key, expires, bytes, filename, ...(part === undefined ? [] : [part])]);
  return createHmac('sha256', secret).update(text).digest();
}

function keyOf(path: string): string | null {
  const at = path.indexOf(SIGNED_PATH);
  if (at < 0) return null;
  try {
    return checkKey(
      path
        .slice(at + SIGNED_PATH.length)
        .split('/')
        .map(decodeURIComponent)
        .join('/'),
    );
  } catch {
    return null;
  }
}

function wholeNumber(text: string | null): number | null {
  if (text === null || !/^\d{1,16}$/.test(text)) return null;
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : null;
}

function wrong(): AmalgamError {
  return new AmalgamError('link_expired', 'the signature of the link is wrong');
}
