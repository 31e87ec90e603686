import type { Merge } from '@amalgam/contracts';
import { useState } from 'react';
import type { Trouble } from '../api.js';
import { showCount } from '../format.js';
import { TroubleNote } from '../parts/notes.js';
import { hrefOf } from '../router.js';
import { mayWrite, useSession } from '../session.js';
import { ACTIONS, type Action, actOn } from './bulk.js';

/** So many fit beside each other. */
const MOST_COMPARED = 8;

interface BulkBarProps {
  chosen: readonly Merge[];
  onChanged(merges: readonly Merge[]): void;
  onClear(): void;
}

/** What can be done to the chosen merges. */
export function BulkBar({ chosen, onChanged, onClear }: BulkBarProps) {
  const { session } = useSession();
  const [busy, setBusy] = useState('');
  const [troubles, setTroubles] = useState<readonly Trouble[]>([]);
  const [first] = troubles;
  const act = async (action: Action, merges: readonly Merge[]) => {
    setTroubles([]);
    const told = (done: number) => setBusy(`${action}: ${done} of ${merges.length}`);
    told(0);
    const outcome = await actOn(merges, ACTIONS[action].call, told);
    setBusy('');
    setTroubles(outcome.troubles);
    onChanged(outcome.changed);
  };
  return (
    <section className="card bulk" aria-label="Chosen merges">
      <span role="status">{busy === '' ? `${showCount(chosen.length, 'merge')} chosen` : busy}</span>
      {mayWrite(session)
        ? Object.entries(ACTIONS).map(([name, { fits }]) => {
            const fitting = chosen.filter(fits);
            return (
              <button
                key={name}
                type="button"
                disabled={busy !== '' || fitting.length === 0}
                onClick={() => act(name as Action, fitting)}
              >
                {name} {fitting.length}
              </button>
            );
          })
        : null}
      {chosen.length >= 2 && chosen.length <= MOST_COMPARED ? (
        <a className="button" href={hrefOf(['compare'], { ids: chosen.map(({ id }) => id).join(',') })}>
          Compare {chosen.length}
        </a>
      ) : null}
      <button type="button" onClick={onClear}>
        Choose none
      </button>
      {first === undefined ? null : (
        <div className="bulk-trouble">
          {troubles.length === 1 ? null : <p>{troubles.length} of them could not be changed; the first:</p>}
          <TroubleNote trouble={first} />
        </div>
      )}
    </section>
  );
}
