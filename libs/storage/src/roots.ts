import { AmalgamError, isAmalgamError } from '@amalgam/contracts';

/** Below which places registered URIs may point. */
export interface AllowedRoots {
  /** Absolute folders. */
  files: string[];
  /** `prefix` has no slash at either end; '' is the whole bucket. */
  s3: { bucket: string; prefix: string }[];
}

export type ParsedUri = { kind: 'file'; path: string } | { kind: 's3'; bucket: string; prefix: string };

/**
 * Reads `file:///data,s3://bucket/prefix`; a comma within a path is written `%2C`. Empty text allows nothing.
 * @throws invalid_request naming the entry and the rule
 */
export function parseAllowedRoots(text: string): AllowedRoots {
  const roots: AllowedRoots = { files: [], s3: [] };
  for (const entry of text.split(',').map((part) => part.trim())) {
    if (entry === '') continue;
    try {
      const uri = parseUri(entry);
      if (uri.kind === 'file') roots.files.push(uri.path);
      else roots.s3.push({ bucket: uri.bucket, prefix: uri.prefix });
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
  throw refused(uri, 'must begin with file:/// or s3://');
}

/** Segments, with a final slash allowed, each free of traversal in whatever encoding. */
function segmentsOf(uri: string, path: string): string[] {
  const bare = path.endsWith('/') ? path.slice(0, -1) : path;
  if (bare === '') return [];
  const segments = bare.split('/');
  for (const segment of segments) {
    if (segment === '') throw refused(uri, 'must not hold an empty segment');
    // What is decoded once more by someone further on must be harmless, too.
    for (const form of encodings(segment)) {
      if (form === '.' || form === '..' || /(^|[/\\])\.\.?([/\\]|$)/.test(form)) {
        throw refused(uri, 'must not hold "." or ".." segments');
      }
      if (/[\\\p{Cc}\p{Cs}]/u.test(form)) throw refused(uri, 'must not hold backslashes or control characters');
    }
  }
  return segments;
}

/** A segment and what it becomes when it is percent-decoded again and again. */
function encodings(segment: string): string[] {
  const forms = [segment];
  for (let form = segment; forms.length < 8; forms.push(form)) {
    try {
      const next = decodeURIComponent(form);
      if (next === form) break;
      form = next;
    } catch {
      break;
    }
  }
  return forms;
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

export function refused(uri: string, rule: string): AmalgamError {
  return new AmalgamError('uri_not_allowed', `${JSON.stringify(uri).slice(1, -1)}: ${rule}`);
}
