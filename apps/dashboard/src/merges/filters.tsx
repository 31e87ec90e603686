import { MERGE_STATES } from '@amalgam/contracts';
import { useEffect, useId, useState } from 'react';
import { client } from '../api.js';
import { readPairs } from '../pairs.js';
import { hrefOf } from '../router.js';
import { useLive } from '../use-live.js';
import { type Filter, isNarrow } from './filter.js';

/** Between the last key and the question. */
const PAUSE_MS = 300;

/** Narrows the list, through the page's address. */
export function Filters({ filter }: { filter: Filter }) {
  const { data: methods } = useLive('methods', (signal) => client.methods.list({ signal }), 0);
  const names = methods?.map(({ name }) => name) ?? [];
  // Not a page of its own in the history for each key.
  const go = (change: Partial<Filter>) => location.replace(hrefOf(['merges'], { ...filter, ...change }));
  return (
    <search className="filters">
      <Choice label="State" value={filter.state} options={MERGE_STATES} onChoose={(state) => go({ state })} />
      <Choice
        label="Method"
        value={filter.method}
        options={names.includes(filter.method) || filter.method === '' ? names : [...names, filter.method]}
        onChoose={(method) => go({ method })}
      />
      <Words label="Name" value={filter.name} placeholder="a part of it" onType={(name) => go({ name })} />
      <Words
        label="Metadata"
        value={filter.metadata}
        placeholder="key=value"
        isRight={(text) => readPairs(text) !== null}
        onType={(metadata) => go({ metadata })}
      />
      <Moment label="From" value={filter.after} onChange={(after) => go({ after })} />
      <Moment label="To" value={filter.before} onChange={(before) => go({ before })} />
      {isNarrow(filter) ? (
        <button type="button" onClick={() => location.replace(hrefOf(['merges']))}>
          Clear
        </button>
      ) : null}
    </search>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: readonly string[];
  onChoose(value: string): void;
}

function Choice({ label, value, options, onChoose }: ChoiceProps) {
  const id = useId();
  return (
    <span className="filter">
      <label htmlFor={id}>{label}</label>
      <select id={id} value={value} onChange={(event) => onChoose(event.target.value)}>
        <option value="">all</option>
        {options.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
    </span>
  );
}

interface WordsProps {
  label: string;
  value: string;
  placeholder: string;
  isRight?(text: string): boolean;
  onType(value: string): void;
}

function Words({ label, value, placeholder, isRight = () => true, onType }: WordsProps) {
  const id = useId();
  const [typed, setTyped] = useState({ from: value, text: value });
  // The address changed by itself: a link, or Clear.
  const text = typed.from === value ? typed.text : value;
  const right = isRight(text);
  useEffect(() => {
    if (text === value || !right) return;
    const timer = setTimeout(() => onType(text), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text, value, right, onType]);
  return (
    <span className="filter">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        type="search"
        autoComplete="off"
        spellCheck={false}
        placeholder={placeholder}
        aria-invalid={!right}
        value={text}
        onChange={(event) => setTyped({ from: value, text: event.target.value })}
      />
    </span>
  );
}

function Moment({ label, value, onChange }: { label: string; value: string; onChange(value: string): void }) {
  const id = useId();
  return (
    <span className="filter">
      <label htmlFor={id}>{label}</label>
      <input id={id} type="datetime-local" value={value} onChange={(event) => onChange(event.target.value)} />
    </span>
  );
}
