import type { Merge, MergeState, ProjectEvent } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { type Held, withFirstPage, withOlderPage, withProgress } from '../src/merge-list.js';

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

  it('takes what events of progress say, of those that run, and stays the very same without any', () => {
    const rows = [3, 2, 1].map((id) => ({ ...merge(id), progress: { stage: null, bytes_done: 0, bytes_total: 9 } }));
    const at = (id: number, bytes_done: number) =>
      ({
        type: 'merge.progress',
        merge_id: `mrg_${id}`,
        data: { attempt: 1, stage: 'merging', bytes_done, bytes_total: 10 },
      }) as unknown as ProjectEvent;
    const now = withProgress(rows, [at(2, 3), at(9, 1), at(2, 5)]);
    expect(now.map(({ progress }) => progress)).toEqual([
      rows[0]?.progress,
      { stage: 'merging', bytes_done: 5, bytes_total: 10 },
      rows[2]?.progress,
    ]);
    expect(now[0]).toBe(rows[0]);
    expect(withProgress(rows, [at(9, 1)])).toBe(rows);
    // Its end was read before the last progress was told.
    const ended = [merge(2, 'succeeded')];
    expect(withProgress(ended, [at(2, 5)])).toBe(ended);
  });
});
