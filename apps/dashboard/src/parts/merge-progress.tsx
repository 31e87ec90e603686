import { isFinal, type Merge, type Progress } from '@amalgam/contracts';
import { StateBadge } from './state-badge.js';

/** Which part of its stage is done, from 0 to 1; null where the stage does not say. */
export function shareOf({ stage, bytes_done, bytes_total, tuning }: Progress): number | null {
  if (stage === 'tuning') return tuning === undefined ? null : tuning.step / tuning.steps;
  if (stage === 'merging') return bytes_total === 0 ? null : bytes_done / bytes_total;
  return null;
}

/** A merge's state; of one that runs also the stage and how far it is. */
export function MergeProgress({ merge: { state, progress } }: { merge: Merge }) {
  const share = shareOf(progress);
  return (
    <span className="progress-line">
      <StateBadge state={state} />
      {isFinal(state) || progress.stage === null ? null : (
        <>
          <span className="dim">{progress.stage}</span>
          {share === null ? null : <progress max={1} value={share} aria-label={progress.stage} />}
        </>
      )}
    </span>
  );
}
