import { AmalgamError, isAmalgamError } from '@amalgam/contracts';
import { type HubReference, isRepo, parseHubUri } from './hub-reference.js';
import { refused, segmentsOf } from './uri-segments.js';

/** Below which places registered URIs may point. */
export interface AllowedRoots {
  /** Absolute folders. */
  files: string[];
  /** `prefix` has no slash at either end; '' is the whole bucket. */
  s3: { bucket: string; prefix: string }[];
  /** Of the Hugging Face hub: 'org/name', or 'org' for all that is its; '' is the whole hub. */
  hub: string[];
}

export type ParsedUri =
  | { kind: 'file'; path: string }
  | { kind: 's3'; bucket: string; prefix: string }
  | ({ kind: 'hub' } & HubReference);

/**
 * Reads `file:///data,s3://bucket/prefix,hf://org`; a comma within a path is written `%2C`. Empty text allows nothing.
 * @throws invalid_request naming the entry and the rule
 */
export function parseAllowedRoots(text: string): AllowedRoots {
  const roots: AllowedRoots = { files: [], s3: [], hub: [] };
  for (const entry of text.split(',').map((part) => part.trim())) {
    if (entry === '') continue;
    const hub = hubRoot(entry);
    if (hub !== null) {
      roots.hub.push(hub);
      continue;
    }
    try {
      const uri = parseUri(entry);
      if (uri.kind === 'file') roots.files.push(uri.path);
      else if (uri.kind === 's3') roots.s3.push({ bucket: uri.bucket, prefix: uri.prefix });
      else throw refused(entry, 'must be hf://, hf://org or hf://org/name');
    } catch (error) {
      if (!isAmalgamError(error)) throw error;
      throw new AmalgamError('invalid_request', `allowed root ${error.detail}`);
    }
  }
  return roots;
}

/**
 * Takes a registered URI apart, without looking at roots or at what is there. Paths of file URIs are percent-decoded;
 * keys of S3 URIs are taken as they are written.
 * @throws uri_not_allowed for another scheme, a host, a relative path, `..` in any encoding, NUL, a query
 */
export function parseUri(uri: string): ParsedUri {
  const file = /^file:\/\/([^/]*)(\/.*)?$/is.exec(uri);
  if (file !== null) {
    const [, host = '', path] = file;
    if (host !== '' && host.toLowerCase() !== 'localhost') throw refused(uri, `must not name the host "${host}"`);
    if (path === undefined) throw refused(uri, 'must have an absolute path');
    if (/[?#]/.test(path)) throw refused(uri, 'must have no query and no fragment; write %3F and %23 for ? and #');
    const segments = segmentsOf(uri, path.slice(1)).map((segment) => decoded(uri, segment));
    return { kind: 'file', path: `/${segments.join('/')}` };
  }
  const s3 = /^s3:\/\/([^/]*)(?:\/(.*))?$/is.exec(uri);
  if (s3 !== null) {
    const [, bucket = '', key = ''] = s3;
    if (!/^[a-z0-9][a-z0-9._-]{1,62}$/i.test(bucket)) throw refused(uri, 'must name a bucket');
    return { kind: 's3', bucket, prefix: segmentsOf(uri, key).join('/') };
  }
  if (/^hf:\/\//i.test(uri)) return { kind: 'hub', ...parseHubUri(uri) };
  throw refused(uri, 'must begin with file:///, s3:// or hf://');
}

/** `hf://`, `hf://org` or `hf://org/name` without the scheme; null for anything else. */
function hubRoot(entry: string): string | null {
  const root = /^hf:\/\/(.*?)\/?$/i.exec(entry)?.[1];
  if (root === undefined) return null;
  return root === '' || isRepo(root) || isRepo(`${root}/any`) ? root : null;
}

function decoded(uri: string, segment: string): string {
  let text: string;
  try {
    text = decodeURIComponent(segment);
  } catch {
    throw refused(uri, 'holds a percent-encoding that is not UTF-8');
  }
  if (text.includes('/')) throw refused(uri, 'must not hold an encoded slash');
  return text;
}
