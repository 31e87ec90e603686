import { type ApiKey, SCOPES, type Scope } from '@amalgam/contracts';
import { type FormEvent, useId, useState } from 'react';
import { client } from '../api.js';
import { TroubleNote } from '../parts/notes.js';
import { useAct } from '../use-act.js';

const DAY_MS = 86_400_000;

const EXPIRIES = [
  ['never', 0],
  ['in 7 days', 7],
  ['in 30 days', 30],
  ['in 90 days', 90],
  ['in a year', 365],
] as const;

const MEANINGS: Record<Scope, string> = {
  read: 'look at everything',
  write: 'upload, merge, cancel, delete',
  'webhooks:read': 'look at webhooks only',
  'webhooks:write': 'change webhooks only',
  '*': 'everything, keys too',
};

export function KeyForm({ onMade }: { onMade(key: ApiKey): void }) {
  const id = useId();
  const [name, setName] = useState('');
  const [scopes, setScopes] = useState<Scope[]>(['read']);
  const [days, setDays] = useState(0);
  const { busy, trouble, act } = useAct();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void act(async () => {
      const expires_at = days === 0 ? undefined : new Date(Date.now() + days * DAY_MS).toISOString();
      onMade(await client.keys.create({ name, scopes, ...(expires_at === undefined ? {} : { expires_at }) }));
      setName('');
    });
  };
  const toggle = (scope: Scope, on: boolean) =>
    setScopes(SCOPES.filter((one) => (one === scope ? on : scopes.includes(one))));
  return (
    <form className="form" onSubmit={submit}>
      <label htmlFor={`${id}-name`}>Name</label>
      <input
        id={`${id}-name`}
        required
        maxLength={200}
        placeholder="release pipeline"
        value={name}
        onChange={(event) => setName(event.target.value)}
      />
      <fieldset className="choices lines">
        <legend>Scopes</legend>
        {SCOPES.map((scope) => (
          <label key={scope}>
            <input
              type="checkbox"
              checked={scopes.includes(scope)}
              onChange={(event) => toggle(scope, event.target.checked)}
            />{' '}
            <code>{scope}</code> <span className="dim">{MEANINGS[scope]}</span>
          </label>
        ))}
      </fieldset>
      <div className="actions start">
        <label htmlFor={`${id}-expiry`}>Expires</label>
        <select id={`${id}-expiry`} value={days} onChange={(event) => setDays(Number(event.target.value))}>
          {EXPIRIES.map(([words, value]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
        <button type="submit" className="primary" disabled={busy || name.trim() === '' || scopes.length === 0}>
          Create key
        </button>
      </div>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
    </form>
  );
}
