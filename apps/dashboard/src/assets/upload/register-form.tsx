import { type AssetKind, type FieldError, isAmalgamError } from '@amalgam/contracts';
import { type FormEvent, useId, useState } from 'react';
import { isSignedOut, type Trouble, toTrouble } from '../../api.js';
import { TroubleNote } from '../../parts/notes.js';
import { hrefOf } from '../../router.js';
import { useSession } from '../../session.js';
import { callsOf, KINDS } from '../kinds.js';

/** Registers what lies in storage already, by its URI; its page opens when its headers have been read. */
export function RegisterForm({ kind }: { kind: AssetKind }) {
  const { onSignedOut } = useSession();
  const [uri, setUri] = useState('');
  const [name, setName] = useState('');
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<readonly FieldError[]>([]);
  const [trouble, setTrouble] = useState<Trouble | null>(null);
  const { plural, example } = KINDS[kind];

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setWrong([]);
    setTrouble(null);
    try {
      const named = name.trim() === '' ? {} : { name: name.trim() };
      const { id } = await callsOf(kind).create({ uri: uri.trim(), ...named });
      location.hash = hrefOf([plural, id]);
    } catch (error) {
      if (isSignedOut(error)) return onSignedOut();
      const fields = isAmalgamError(error) ? error.errors : [];
      setWrong(fields);
      if (!fields.some(({ pointer }) => pointer === '/uri' || pointer === '/name')) setTrouble(toTrouble(error));
      setBusy(false);
    }
  };
  return (
    <details className="register">
      <summary>Or register one that is stored already, by its URI</summary>
      <form className="form" onSubmit={submit}>
        <Text
          label="URI"
          value={uri}
          onChange={setUri}
          placeholder={example}
          hint="s3://…, hf://organisation/name or file:///…, below a root that the service’s operator allows (AMALGAM_ALLOWED_ROOTS). It stays where it is."
          wrong={wrong.filter(({ pointer }) => pointer === '/uri')}
        />
        <Text
          label="Name (optional)"
          value={name}
          onChange={setName}
          placeholder="from the URI"
          wrong={wrong.filter(({ pointer }) => pointer === '/name')}
        />
        <div className="actions start">
          <button type="submit" className="primary" disabled={busy || uri.trim() === ''}>
            {busy ? 'Reading its headers…' : 'Register'}
          </button>
        </div>
        {trouble === null ? null : <TroubleNote trouble={trouble} />}
      </form>
    </details>
  );
}

interface TextProps {
  label: string;
  value: string;
  onChange(text: string): void;
  placeholder: string;
  hint?: string;
  wrong: readonly FieldError[];
}

function Text({ label, value, onChange, placeholder, hint, wrong }: TextProps) {
  const id = useId();
  return (
    <>
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        value={value}
        placeholder={placeholder}
        autoComplete="off"
        spellCheck={false}
        aria-describedby={hint === undefined ? `${id}-wrong` : `${id}-hint ${id}-wrong`}
        aria-invalid={wrong.length > 0}
        onChange={(event) => onChange(event.target.value)}
      />
      {hint === undefined ? null : (
        <div className="hint dim" id={`${id}-hint`}>
          {hint}
        </div>
      )}
      <div className="wrong" id={`${id}-wrong`} role="alert">
        {wrong.map(({ detail }) => (
          <div key={detail}>{detail}</div>
        ))}
      </div>
    </>
  );
}
