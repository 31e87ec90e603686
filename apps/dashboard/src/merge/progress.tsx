import type { Progress as MergeProgress, MergeState } from '@amalgam/contracts';
import { showBytes, showNumber, showSeconds } from '../format.js';
import { shareOf } from '../parts/merge-progress.js';
import type { Rate } from './run.js';

interface ProgressProps {
  state: MergeState;
  progress: MergeProgress;
  rate: Rate | null;
}

/** How far the stage is, how fast, and how long it will take. */
export function Progress({ state, progress, rate }: ProgressProps) {
  const { stage, tuning } = progress;
  if (stage === null) {
    return <p className="dim">{state === 'queued' ? 'Waits for a worker.' : 'The worker reads the headers.'}</p>;
  }
  const share = shareOf(progress);
  const done =
    stage === 'tuning' && tuning !== undefined
      ? `step ${tuning.step} of ${tuning.steps}, loss ${showNumber(tuning.loss)}`
      : stage === 'merging'
        ? `${showBytes(progress.bytes_done)} of ${showBytes(progress.bytes_total)}`
        : null;
  return (
    <div className="progress">
      <progress max={1} {...(share === null ? {} : { value: share })} aria-label={`Progress of ${stage}`} />
      <p>
        {stage}
        {done === null ? null : `: ${done}`}
        {rate === null ? null : (
          <span className="dim">
            {' '}
            · {rate.unit === 'bytes' ? showBytes(rate.perSecond) : `${showNumber(rate.perSecond)} steps`} a second ·
            about {showSeconds(Math.ceil(rate.secondsLeft))} left
          </span>
        )}
      </p>
    </div>
  );
}
