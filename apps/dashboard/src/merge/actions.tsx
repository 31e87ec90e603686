import { isFinal, isRetryable, type Merge } from '@amalgam/contracts';
import { useState } from 'react';
import { client, isSignedOut, type Trouble, toTrouble } from '../api.js';
import { TroubleNote } from '../parts/notes.js';
import { hrefOf } from '../router.js';
import { mayWrite, useSession } from '../session.js';

/** The same again with changes, cancel and retry, where the merge's state and the session's key allow it. */
export function Actions({ merge, onChanged }: { merge: Merge; onChanged(merge: Merge): void }) {
  const { session, onSignedOut } = useSession();
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  if (!mayWrite(session)) return null;

  const act = (call: (id: string) => Promise<Merge>) => async () => {
    setBusy(true);
    setTrouble(null);
    try {
      onChanged(await call(merge.id));
    } catch (error) {
      if (isSignedOut(error)) onSignedOut();
      else setTrouble(toTrouble(error));
    }
    setBusy(false);
  };
  const canceling = merge.cancel_requested_at !== null;
  return (
    <span className="actions">
      <a className="button" href={hrefOf(['new'], { from: merge.id })}>
        Edit and run again
      </a>
      {isFinal(merge.state) ? null : (
        <button type="button" disabled={busy || canceling} onClick={act(client.merges.cancel)}>
          {canceling ? 'Canceling…' : 'Cancel'}
        </button>
      )}
      {isRetryable(merge.state) ? (
        <button type="button" disabled={busy} onClick={act(client.merges.retry)}>
          Retry
        </button>
      ) : null}
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
    </span>
  );
}
