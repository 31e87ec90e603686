import { isFinal } from '@amalgam/contracts';
import { useEffect, useId, useRef, useState } from 'react';
import { isSignedOut, type Trouble, toTrouble } from '../api.js';
import { showBytes, showCount } from '../format.js';
import { Loading, TroubleNote } from '../parts/notes.js';
import { StateBadge } from '../parts/state-badge.js';
import { hrefOf } from '../router.js';
import { useSession } from '../session.js';
import { type Asset, callsOf, KINDS } from './kinds.js';
import { useUsers } from './use-users.js';

/** Asks before something is deleted, and lists who uses it. */
export function DeleteDialog({ asset, onClosed }: { asset: Asset; onClosed(): void }) {
  const { onSignedOut } = useSession();
  const dialog = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  useEffect(() => dialog.current?.showModal(), []);

  const remove = async () => {
    setBusy(true);
    setTrouble(null);
    try {
      await callsOf(asset.object).delete(asset.id);
      location.hash = hrefOf([KINDS[asset.object].plural]);
    } catch (error) {
      if (isSignedOut(error)) return onSignedOut();
      setTrouble(toTrouble(error));
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} aria-labelledby={titleId} onClose={onClosed}>
      <h2 id={titleId}>Delete “{asset.name}”?</h2>
      <p>
        {asset.uri === null
          ? `Its ${showBytes(asset.bytes)} are removed and cannot be had back.`
          : 'The service forgets it; its files stay where they are.'}
      </p>
      <Users id={asset.id} />
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      <p className="dialog-actions">
        <button type="button" onClick={() => dialog.current?.close()}>
          Keep it
        </button>
        <button type="button" className="danger" disabled={busy} onClick={remove}>
          {busy ? 'Deleting…' : 'Delete'}
        </button>
      </p>
    </dialog>
  );
}

function Users({ id }: { id: string }) {
  const { data, trouble } = useUsers(id);
  if (data === undefined) return trouble === null ? <Loading /> : <TroubleNote trouble={trouble} />;
  if (data.data.length === 0) return <p>No merge uses it.</p>;
  const open = data.data.filter(({ state }) => !isFinal(state)).length;
  const some = data.has_more ? `at least ${data.data.length} merges` : showCount(data.data.length, 'merge');
  return (
    <div className="note warn">
      Used by {some}.{' '}
      {open === 0
        ? 'Their results and reports stay, but they cannot be run again.'
        : `${open} of them not finished: until then it cannot be deleted.`}
      <ul className="users">
        {data.data.map(({ id: mergeId, name, state }) => (
          <li key={mergeId}>
            <a href={hrefOf(['merges', mergeId])}>{name ?? mergeId}</a> <StateBadge state={state} />
          </li>
        ))}
      </ul>
    </div>
  );
}
