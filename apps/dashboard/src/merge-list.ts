import { isRunning, type List, type Merge, type Progress, type ProjectEvent } from '@amalgam/contracts';

/** The merges that a table holds: all newer ones than those behind `cursor`. */
export interface Held {
  /** The newest first. */
  rows: readonly Merge[];
  /** Where the next older page begins; null when there is none. */
  cursor: string | null;
}

/**
 * After a look at the first page, with rows below it asked for again. Rows that no longer are as `wanted` leave. When so
 * many merges have come that the page does not reach down to what is held, it begins anew.
 */
export function withFirstPage(
  held: Held | null,
  first: List<Merge>,
  fresh: readonly Merge[],
  wanted: (merge: Merge) => boolean,
): Held {
  const known = new Set(held?.rows.map(({ id }) => id));
  const reaches = !first.has_more || first.data.some(({ id }) => known.has(id));
  if (held === null || !reaches) return { rows: first.data, cursor: first.next_cursor };
  return { rows: combine(held.rows, [...fresh, ...first.data]).filter(wanted), cursor: held.cursor };
}

/** After some of them were changed. */
export function withNews(held: Held, fresh: readonly Merge[], wanted: (merge: Merge) => boolean): Held {
  return { ...held, rows: combine(held.rows, fresh).filter(wanted) };
}

/** After "load more". */
export function withOlderPage(held: Held, page: List<Merge>): Held {
  return { rows: combine(held.rows, page.data), cursor: page.next_cursor };
}

/** After events of progress; the very same rows when none is among them that the events are of. */
export function withProgress(rows: readonly Merge[], events: readonly ProjectEvent[]): readonly Merge[] {
  const latest = new Map<string, ProjectEvent>();
  for (const event of events) {
    if (event.type === 'merge.progress' && event.merge_id !== null) latest.set(event.merge_id, event);
  }
  if (!rows.some(({ id, state }) => latest.has(id) && isRunning(state))) return rows;
  return rows.map((merge) => {
    const event = latest.get(merge.id);
    if (event === undefined || !isRunning(merge.state)) return merge;
    const { attempt: _, ...progress } = event.data as Progress & { attempt: number };
    return { ...merge, progress: { ...merge.progress, ...progress } };
  });
}

/** Ids begin with their time, so their order is that of the list. */
function combine(rows: readonly Merge[], fresh: readonly Merge[]): Merge[] {
  const byId = new Map([...rows, ...fresh].map((merge) => [merge.id, merge]));
  return [...byId.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
}
