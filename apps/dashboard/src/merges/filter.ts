import type { MergeQuery } from '@amalgam/client';
import { MERGE_STATES, type MergeState } from '@amalgam/contracts';
import { readPairs } from '../pairs.js';

/** What the list is narrowed to, as the page's address holds it; times as `datetime-local` inputs have them. */
export const FILTERS = ['state', 'method', 'name', 'metadata', 'after', 'before'] as const;
export type Filter = Record<(typeof FILTERS)[number], string>;

export function readFilter(query: URLSearchParams): Filter {
  return Object.fromEntries(FILTERS.map((key) => [key, query.get(key) ?? ''])) as Filter;
}

export function isNarrow(filter: Filter): boolean {
  return FILTERS.some((key) => filter[key] !== '');
}

/** What to ask the service for; what cannot be understood narrows nothing. */
export function toQuery(filter: Filter): MergeQuery {
  const metadata = readPairs(filter.metadata);
  const after = toTime(filter.after);
  const before = toTime(filter.before);
  return {
    ...(isState(filter.state) ? { state: filter.state } : {}),
    ...(filter.method === '' ? {} : { method: filter.method }),
    ...(filter.name.trim() === '' ? {} : { name: filter.name.trim() }),
    ...(metadata === null || Object.keys(metadata).length === 0 ? {} : { metadata }),
    ...(after === null ? {} : { created_after: after }),
    ...(before === null ? {} : { created_before: before }),
  };
}

export function isState(text: string): text is MergeState {
  return (MERGE_STATES as readonly string[]).includes(text);
}

/** A time of the reader's clock, in UTC. */
function toTime(local: string): string | null {
  const time = Date.parse(local);
  return Number.isNaN(time) ? null : new Date(time).toISOString();
}
