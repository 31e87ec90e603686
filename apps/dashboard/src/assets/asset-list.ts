import type { List } from '@amalgam/contracts';

/** What a table holds: everything newer than what is behind `cursor`. */
export interface Held<T> {
  /** The newest first. */
  rows: readonly T[];
  /** Where the next older page begins; null when there is none. */
  cursor: string | null;
}

/**
 * After another look at the first page. What it should have and has not was deleted; what lies below it stays. When so much has
 * come that it does not reach down to what is held, the table begins anew. Ids begin with their time, so their order is that
 * of the list.
 */
export function withFirstPage<T extends { id: string }>(held: Held<T> | null, first: List<T>): Held<T> {
  const last = first.data.at(-1)?.id;
  const known = new Set(held?.rows.map(({ id }) => id));
  if (held === null || !first.has_more || last === undefined || !first.data.some(({ id }) => known.has(id))) {
    return { rows: first.data, cursor: first.next_cursor };
  }
  return { rows: [...first.data, ...held.rows.filter(({ id }) => id < last)], cursor: held.cursor };
}

/** After "load more". */
export function withOlderPage<T extends { id: string }>(held: Held<T>, page: List<T>): Held<T> {
  const known = new Set(held.rows.map(({ id }) => id));
  return { rows: [...held.rows, ...page.data.filter(({ id }) => !known.has(id))], cursor: page.next_cursor };
}
