import type { Report, TaskReport } from '@amalgam/contracts';
import { expect, test } from 'vitest';
import { completeReport } from '../src/complete-report.js';

const merged: Report = {
  method: 'ties',
  inputs: [],
  parameters: {},
  seconds: { merging: 2, total: 3 },
  bytes_read: 1,
  bytes_written: 1,
  peak_rss_bytes: 1,
  tensors: [],
  copied: [],
  warnings: [],
};
const task: TaskReport = {
  name: 'a',
  model: 'a',
  rows: 1,
  entropy: 1,
  accuracy: null,
  individual: { entropy: 1, accuracy: null },
  base: null,
};

test('a merge that was only evaluated has the scores, the time of it, and nothing of a tuning', () => {
  const report = completeReport(merged, { tuned: null, tasks: [task], seconds: { evaluating: 4 } });
  expect(report).toEqual({ ...merged, tasks: [task], seconds: { merging: 2, evaluating: 4, total: 7 } });
});

test('stages stand in their order, and the total is of all', () => {
  const report = completeReport(merged, { tuned: null, tasks: null, seconds: { tuning: 10, evaluating: 4 } });
  expect(Object.entries(report.seconds)).toEqual([
    ['tuning', 10],
    ['merging', 2],
    ['evaluating', 4],
    ['total', 17],
  ]);
  expect(report).not.toHaveProperty('tasks');
});
