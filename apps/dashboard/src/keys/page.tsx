import type { ApiKey } from '@amalgam/contracts';
import { useState } from 'react';
import { client } from '../api.js';
import { Empty, Loading, TroubleNote } from '../parts/notes.js';
import { Section } from '../parts/section.js';
import { ShownOnce } from '../parts/shown-once.js';
import { Time, useNow } from '../parts/time.js';
import { useSession } from '../session.js';
import { useAct } from '../use-act.js';
import { useLive } from '../use-live.js';
import { KeyForm } from './key-form.js';
import '../webhooks/webhooks.css';

const EVERY_MS = 2000;

/** API keys: made with scopes and an expiry, shown once, revoked. */
export default function KeysPage() {
  const { session } = useSession();
  return (
    <>
      <h1>Keys</h1>
      {session.scopes.includes('*') ? (
        <Keys own={session.key_id} />
      ) : (
        <Empty>Keys are managed with a key whose scope is *; this one has {session.scopes.join(', ')}.</Empty>
      )}
    </>
  );
}

function Keys({ own }: { own: string }) {
  const { data, trouble } = useLive('keys', (signal) => client.keys.list({ signal }), EVERY_MS);
  const [made, setMade] = useState<ApiKey | null>(null);
  return (
    <>
      <Section title="New key">
        <KeyForm onMade={setMade} />
      </Section>
      {made?.token === undefined ? null : (
        <ShownOnce what="API key" secret={made.token} onDone={() => setMade(null)}>
          It belongs to {made.name}.
        </ShownOnce>
      )}
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      {data === undefined ? <Loading /> : <Table keys={data} own={own} />}
    </>
  );
}

function Table({ keys, own }: { keys: readonly ApiKey[]; own: string }) {
  return (
    <table className="card merges">
      <thead>
        <tr>
          <th scope="col">Key</th>
          <th scope="col">State</th>
          <th scope="col" className="wide">
            Scopes
          </th>
          <th scope="col" className="wide">
            Created
          </th>
          <th scope="col" className="wide">
            Last used
          </th>
          <th scope="col">
            <span className="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {keys.toReversed().map((key) => (
          <Row key={key.id} apiKey={key} own={key.id === own} />
        ))}
      </tbody>
    </table>
  );
}

function Row({
  apiKey: { id, name, scopes, created_at, last_used_at, ...key },
  own,
}: {
  apiKey: ApiKey;
  own: boolean;
}) {
  const now = useNow();
  const expired = key.expires_at !== null && Date.parse(key.expires_at) <= now;
  return (
    <tr>
      <th scope="row">
        {name} {own ? <span className="dim">(yours now)</span> : null}
        <div className="dim id wide">{id}</div>
        <div className="dim narrow">{scopes.join(', ')}</div>
      </th>
      <td>
        {key.revoked_at !== null ? (
          <span className="badge canceled">
            <span aria-hidden="true">⊘</span> revoked
          </span>
        ) : expired ? (
          <span className="badge canceled">
            <span aria-hidden="true">⊘</span> expired
          </span>
        ) : (
          <span className="badge succeeded">
            <span aria-hidden="true">●</span> good
          </span>
        )}
        {key.expires_at === null || key.revoked_at !== null || expired ? null : (
          <div className="dim">
            expires <Time at={key.expires_at} />
          </div>
        )}
      </td>
      <td className="wide">{scopes.join(', ')}</td>
      <td className="wide">
        <Time at={created_at} />
      </td>
      <td className="wide">
        {last_used_at === null ? <span className="dim">never</span> : <Time at={last_used_at} />}
      </td>
      <td>{key.revoked_at === null ? <Revoke id={id} name={name} own={own} /> : null}</td>
    </tr>
  );
}

/** Asks once more, since there is no way back. */
function Revoke({ id, name, own }: { id: string; name: string; own: boolean }) {
  const [sure, setSure] = useState(false);
  const { busy, trouble, act } = useAct();
  if (!sure) {
    return (
      <button type="button" onClick={() => setSure(true)} aria-label={`Revoke ${name}…`}>
        Revoke…
      </button>
    );
  }
  return (
    <span className="resend">
      {own ? <span>You are signed in with it.</span> : null}
      <button
        type="button"
        disabled={busy}
        onClick={() => act(() => client.keys.revoke(id))}
        aria-label={`Revoke ${name} for good`}
      >
        Revoke for good
      </button>
      <button type="button" onClick={() => setSure(false)}>
        Keep
      </button>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
    </span>
  );
}
