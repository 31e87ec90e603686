import type { Session } from '@amalgam/contracts';
import { type FormEvent, useState } from 'react';
import { client, type Trouble, toTrouble } from '../api.js';
import { TroubleNote } from '../parts/notes.js';

/** Asks for an API key; the browser keeps a cookie for it, and no script ever sees the key again. */
export function SignInPage({ onSignedIn }: { onSignedIn(session: Session): void }) {
  const [key, setKey] = useState('');
  const [busy, setBusy] = useState(false);
  const [trouble, setTrouble] = useState<Trouble | null>(null);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setTrouble(null);
    try {
      onSignedIn(await client.session.create(key));
    } catch (error) {
      setTrouble(toTrouble(error));
      setBusy(false);
    }
  };

  return (
    <main className="sign-in">
      <form className="card" onSubmit={submit}>
        <h1>Amalgam</h1>
        <p>Merges of models: what runs, what came of it, and how good it is.</p>
        <label htmlFor="key">API key</label>
        <input
          id="key"
          type="password"
          autoComplete="current-password"
          placeholder="amk_…"
          required
          value={key}
          onChange={(event) => setKey(event.target.value)}
        />
        {trouble === null ? null : <TroubleNote trouble={trouble} />}
        <button type="submit" className="primary" disabled={busy || key.trim() === ''}>
          {busy ? 'Signing in…' : 'Sign in'}
        </button>
        <p className="dim">
          The service printed its first key when it was started for the first time; <code>npm start</code> also keeps it
          in <code>.amalgam/api-key</code>. Whoever has signed in with it makes others on the page <i>Keys</i>.
        </p>
      </form>
    </main>
  );
}
