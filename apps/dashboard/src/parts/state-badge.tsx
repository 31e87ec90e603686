import type { AttemptState, MergeState } from '@amalgam/contracts';

const SIGNS: Record<MergeState | AttemptState, string> = {
  queued: '○',
  running: '◐',
  succeeded: '●',
  failed: '✕',
  canceled: '⊘',
  lost: '?',
};

/** A state by colour, sign and word. */
export function StateBadge({ state }: { state: MergeState | AttemptState }) {
  return (
    <span className={`badge ${state}`}>
      <span aria-hidden="true">{SIGNS[state]}</span> {state}
    </span>
  );
}
