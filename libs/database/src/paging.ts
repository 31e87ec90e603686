import { AmalgamError, type IdKind, isId, type List } from '@amalgam/contracts';

/** A request for a page. The cursor is the id of the last item of the page before: ids sort by time. */
export interface PageRequest {
  /** 1 to 100, default 20. */
  limit?: number;
  cursor?: string;
}

export const MAX_PAGE = 100;
const DEFAULT_PAGE = 20;

/** The limit and the id to start after; `invalid_request` when either is out of its range. */
export function parsePage(kind: IdKind, page: PageRequest): { limit: number; after: string | undefined } {
  const limit = page.limit ?? DEFAULT_PAGE;
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_PAGE) {
    const detail = `must be a whole number from 1 to ${MAX_PAGE}`;
    throw new AmalgamError('invalid_request', `limit ${detail}`, { errors: [{ pointer: '/limit', detail }] });
  }
  if (page.cursor !== undefined && !isId(kind, page.cursor)) {
    const detail = 'must be the next_cursor of an earlier page';
    // As the API calls it.
    throw new AmalgamError('invalid_request', `after ${detail}`, { errors: [{ pointer: '/after', detail }] });
  }
  return { limit, after: page.cursor };
}

/** Makes the page from up to limit + 1 rows: the one too many says that there is more. */
export function toPage<Row extends { id: string }, Item>(
  rows: readonly Row[],
  limit: number,
  render: (row: Row) => Item,
): List<Item> {
  const shown = rows.slice(0, limit);
  const more = rows.length > limit;
  return { data: shown.map(render), has_more: more, next_cursor: more ? (shown.at(-1)?.id ?? null) : null };
}
