import type { Merge, MergeState } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { type Held, withFirstPage, withOlderPage } from '../src/merge-list.js';

const merge = (id: number, state: MergeState = 'running') => ({ id: `mrg_${id}`, state }) as Merge;
const page = (ids: number[], next: string | null = 'older') => ({
  data: ids.map((id) => merge(id)),
  has_more: next !== null,
  next_cursor: next,
});
const ids = ({ rows }: Held) => rows.map(({ id }) => Number(id.slice(4)));
const any = () => true;

describe('the table of merges', () => {
  it('keeps what new ones push out of the first page, and the place where older ones begin', () => {
    const first = withFirstPage(null, page([5, 4, 3]), [], any);
    const then = withFirstPage(first, page([7, 6, 5], 'another'), [], any);
    expect(ids(then)).toEqual([7, 6, 5, 4, 3]);
    expect(then.cursor).toBe('older');
    const more = withOlderPage(then, page([2, 1], null));
    expect(ids(more)).toEqual([7, 6, 5, 4, 3, 2, 1]);
    expect(more.cursor).toBeNull();
  });

  it('begins anew when there would be a hole', () => {
    const first = withFirstPage(null, page([3, 2, 1]), [], any);
    const then = withFirstPage(first, page([9, 8, 7], 'another'), [], any);
    expect(ids(then)).toEqual([9, 8, 7]);
    expect(then.cursor).toBe('another');
  });

  it('has of each the latest news, and lets go what is no longer wanted', () => {
    const first = withFirstPage(null, page([3, 2, 1], null), [], any);
    const wanted = ({ state }: Merge) => state === 'running';
    const then = withFirstPage(first, page([3], null), [merge(2, 'failed'), merge(1)], wanted);
    expect(ids(then)).toEqual([3, 1]);
  });
});
