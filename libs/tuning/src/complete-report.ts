import type { Report, TaskReport } from '@amalgam/contracts';
import type { TunedMerge } from './tune.js';

export interface LearnedAndJudged {
  /** Null for methods that learn nothing. */
  tuned: Pick<TunedMerge, 'report'> | null;
  /** Null when nothing was evaluated. */
  tasks: TaskReport[] | null;
  /** Of the stages around the merge, `tuning` and `evaluating`; those that there were. */
  seconds: { tuning?: number; evaluating?: number };
}

/** The report of the merge itself, with what came before and after it. The total of the seconds is that of all. */
export function completeReport(report: Report, { tuned, tasks, seconds }: LearnedAndJudged): Report {
  const { tuning, evaluating } = seconds;
  const { total = 0, ...merging } = report.seconds;
  return {
    ...report,
    ...tuned?.report,
    ...(tasks !== null && { tasks }),
    seconds: {
      ...(tuning !== undefined && { tuning }),
      ...merging,
      ...(evaluating !== undefined && { evaluating }),
      total: (tuning ?? 0) + total + (evaluating ?? 0),
    },
  };
}
