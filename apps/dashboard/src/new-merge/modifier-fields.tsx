import type { Method } from '@amalgam/contracts';
import { type Draft, type Path, pointerOf, textAt } from './draft.js';
import { Field } from './field.js';
import { readFields } from './fields.js';
import { ParameterFields } from './parameter-fields.js';

/** What a modifier begins with: it has no defaults, and its paper searches `beta` from 0.1 to 1. */
const BEGIN = { lines: { name: 'lines', alpha: 'auto', beta: 0.5 } };

interface ModifierFieldsProps {
  method: Method;
  draft: Draft;
  change(path: Path, value: unknown): void;
}

/** What may be done to the merged task vector afterwards; nothing for methods that have none. */
export function ModifierFields({ method: { modifiers }, draft, change }: ModifierFieldsProps) {
  const path = ['modifiers', 0];
  const name = textAt(draft, [...path, 'name']);
  if (modifiers.length === 0 && name === '') return null;
  const modifier = modifiers.find((one) => one.name === name);
  const begin = (chosen: string) =>
    change(
      path,
      Object.values(BEGIN).find((one) => one.name === chosen),
    );
  return (
    <>
      <h3>Afterwards</h3>
      <Field label="Modifier" pointer={pointerOf(['modifiers'])} hint={modifier?.summary}>
        {(props) => (
          <select {...props} value={name} onChange={(event) => begin(event.target.value)}>
            <option value="">none</option>
            {modifier === undefined && name !== '' ? <option>{name}</option> : null}
            {modifiers.map((one) => (
              <option key={one.name}>{one.name}</option>
            ))}
          </select>
        )}
      </Field>
      {modifier === undefined ? null : (
        <>
          <p className="formula">{modifier.formula}</p>
          <p className="dim">{modifier.source}.</p>
          <ParameterFields fields={readFields(modifier.parameters)} draft={draft} path={path} change={change} />
        </>
      )}
    </>
  );
}
