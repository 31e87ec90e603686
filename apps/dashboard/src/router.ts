import { useSyncExternalStore } from 'react';

/** Where the reader is. Behind the #, so that the service needs no routes for it and reloading stays in place. */
export interface Route {
  /** Segments, decoded: `#/merges/mrg_1` is ['merges', 'mrg_1']. */
  path: string[];
  query: URLSearchParams;
}

export function parseHash(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#/, '').split('?', 2);
  const segments = path.split('/').filter((segment) => segment !== '');
  return { path: segments.map(decode), query: new URLSearchParams(query) };
}

/** The hash of a place; empty values of the query are left out. */
export function hrefOf(path: readonly string[], query: Record<string, string> = {}): string {
  const params = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ''));
  const text = params.toString();
  return `#/${path.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
}

export function useRoute(): Route {
  return parseHash(useSyncExternalStore(subscribe, () => location.hash));
}

function subscribe(changed: () => void): () => void {
  addEventListener('hashchange', changed);
  return () => removeEventListener('hashchange', changed);
}

/** A hash that somebody typed need not be well formed. */
function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
