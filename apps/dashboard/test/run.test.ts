import type { EventType, MergeEvent } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { currentRun, lastProgress, rateOf, stagesOf, tuningOf, tuningOfReport } from '../src/merge/run.js';

const BEGIN = Date.parse('2026-01-01T00:00:00Z');

/** Events by seconds after the beginning. */
function events(...list: [number, EventType, Record<string, unknown>?][]): MergeEvent[] {
  return list.map(([second, type, data = {}], i) => ({
    object: 'event',
    id: `evt_${i}`,
    merge_id: 'mrg_1',
    seq: i + 1,
    type,
    data,
    created_at: new Date(BEGIN + second * 1000).toISOString(),
  }));
}

const bytes = (stage: string, bytes_done: number) => ({ stage, bytes_done, bytes_total: 1000 });
const step = (at: number, losses: number[]) => ({
  ...bytes('tuning', 0),
  tuning: { step: at, steps: 100, loss: losses.reduce((sum, value) => sum + value, 0), losses },
});

describe('a run', () => {
  it('is what came after the merge was queued for the last time', () => {
    const all = events([0, 'merge.queued'], [1, 'merge.started'], [2, 'merge.queued'], [3, 'merge.started']);
    expect(currentRun(all).map(({ seq }) => seq)).toEqual([3, 4]);
    expect(currentRun([])).toEqual([]);
  });

  it('has stages that end where the next one begins, and a last one that lasts', () => {
    const run = events(
      [0, 'merge.queued'],
      [2, 'merge.started'],
      [2, 'merge.progress', bytes('planning', 0)],
      [3, 'merge.progress', bytes('merging', 0)],
      [5, 'merge.progress', bytes('merging', 500)],
    );
    const inSeconds = stagesOf(run).map(({ stage, from, to }) => [
      stage,
      (from - BEGIN) / 1000,
      to === null ? null : (to - BEGIN) / 1000,
    ]);
    expect(inSeconds).toEqual([
      ['waiting', 0, 2],
      ['planning', 2, 3],
      ['merging', 3, null],
    ]);
    const ended = stagesOf([...run, ...events([6, 'merge.failed'])]);
    expect(ended.map(({ stage, to }) => [stage, to === null])).toEqual([
      ['waiting', false],
      ['planning', false],
      ['merging', false],
    ]);
  });

  it('has the losses that it told, by task', () => {
    const run = events([0, 'merge.progress', step(1, [3, 1])], [1, 'merge.progress', step(5, [2, 1])]);
    expect(tuningOf(run)).toEqual({
      steps: [1, 5],
      loss: [4, 3],
      byTask: [
        [3, 2],
        [1, 1],
      ],
    });
    expect(tuningOf([])).toEqual({ steps: [], loss: [], byTask: [] });
  });

  it('forgets steps that a resumed tuning does again', () => {
    const run = events(
      [0, 'merge.progress', step(1, [9])],
      [1, 'merge.progress', step(8, [8])],
      [2, 'merge.progress', step(12, [7])],
      [9, 'merge.progress', step(8, [6])],
    );
    expect(tuningOf(run)).toMatchObject({ steps: [1, 8], loss: [9, 6] });
  });

  it('has every step once there is a report', () => {
    expect(
      tuningOfReport(
        [3, 2],
        [
          [1, 2],
          [1, 1],
        ],
      ),
    ).toEqual({
      steps: [1, 2],
      loss: [3, 2],
      byTask: [
        [1, 1],
        [2, 1],
      ],
    });
  });

  it('goes as fast as over its last ten seconds', () => {
    const run = events(
      [0, 'merge.progress', step(0, [])],
      [10, 'merge.progress', step(10, [1])],
      [20, 'merge.progress', step(50, [1])],
    );
    expect(rateOf(run)).toEqual({ perSecond: 4, unit: 'steps', secondsLeft: 12.5 });
    const merging = events([0, 'merge.progress', bytes('merging', 0)], [5, 'merge.progress', bytes('merging', 250)]);
    expect(rateOf(merging)).toEqual({ perSecond: 50, unit: 'bytes', secondsLeft: 15 });
  });

  it('has no speed at the beginning of a stage, without progress, or when it is over', () => {
    const first = events([0, 'merge.progress', bytes('tuning', 0)], [9, 'merge.progress', bytes('merging', 100)]);
    expect(rateOf(first)).toBeNull();
    expect(
      rateOf(events([0, 'merge.progress', bytes('merging', 5)], [1, 'merge.progress', bytes('merging', 5)])),
    ).toBeNull();
    expect(rateOf([...first, ...events([10, 'merge.succeeded'])])).toBeNull();
    expect(rateOf([])).toBeNull();
  });

  it('is as far as it said last', () => {
    expect(lastProgress(events([0, 'merge.progress', bytes('merging', 7)], [1, 'merge.failed']))?.bytes_done).toBe(7);
    expect(lastProgress(events([0, 'merge.queued']))).toBeNull();
  });
});
