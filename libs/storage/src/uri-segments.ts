import { AmalgamError } from '@amalgam/contracts';

/** Segments, with a final slash allowed, each free of traversal in whatever encoding. */
export function segmentsOf(uri: string, path: string): string[] {
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

export function refused(uri: string, rule: string): AmalgamError {
  return new AmalgamError('uri_not_allowed', `${JSON.stringify(uri).slice(1, -1)}: ${rule}`);
}
