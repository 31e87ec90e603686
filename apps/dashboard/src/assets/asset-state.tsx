import type { AssetState as State } from '@amalgam/contracts';

const LOOKS: Record<State, { sign: string; badge: string }> = {
  pending: { sign: '◐', badge: 'queued' },
  ready: { sign: '●', badge: 'succeeded' },
  deleted: { sign: '⊘', badge: 'canceled' },
};

/** A state by colour, sign and word. */
export function AssetState({ state }: { state: State }) {
  const { sign, badge } = LOOKS[state];
  return (
    <span className={`badge ${badge}`}>
      <span aria-hidden="true">{sign}</span> {state}
    </span>
  );
}
