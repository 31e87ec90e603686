import type { Method } from '@amalgam/contracts';
import { showCount } from '../format.js';
import { Section } from '../parts/section.js';
import { hrefOf } from '../router.js';
import { type Draft, type Path, pointerOf, textAt } from './draft.js';
import { Field } from './field.js';
import { readFields } from './fields.js';
import { ModifierFields } from './modifier-fields.js';
import { ParameterFields } from './parameter-fields.js';

interface MethodSectionProps {
  methods: readonly Method[];
  draft: Draft;
  change(path: Path, value: unknown): void;
}

/** The method, with formula and source, and its parameters. */
export function MethodSection({ methods, draft, change }: MethodSectionProps) {
  const name = textAt(draft, ['method']);
  const method = methods.find((one) => one.name === name);
  return (
    <Section title="Method" aside={method === undefined ? null : <a href={hrefOf(['methods', name])}>about it</a>}>
      <Field label="Method" pointer={pointerOf(['method'])}>
        {(props) => (
          <select {...props} value={name} onChange={(event) => change(['method'], event.target.value || undefined)}>
            {method === undefined ? <option value={name}>{name === '' ? 'Choose one' : name}</option> : null}
            {methods.map((one) => (
              <option key={one.name}>{one.name}</option>
            ))}
          </select>
        )}
      </Field>
      {method === undefined ? null : <About method={method} draft={draft} change={change} />}
    </Section>
  );
}

function About({ method, draft, change }: { method: Method } & Omit<MethodSectionProps, 'methods'>) {
  const own = readFields(method.parameters);
  const perModel = readFields(method.model_parameters);
  const varies = [...own, ...perModel].some(({ gradient }) => gradient);
  const { minimum, maximum } = method.models;
  const models = maximum === null ? `at least ${showCount(minimum, 'model')}` : `${minimum} to ${maximum} models`;
  return (
    <>
      <p>{method.summary}.</p>
      <p className="formula">{method.formula}</p>
      <p className="dim">
        {method.source}. Takes {models}
        {{ required: ' and a base', optional: ', and a base if there is one', none: ', no base' }[method.needs_base]}
        {method.needs_tasks ? '; learns from tasks with data' : ''}.
      </p>
      {own.length === 0 ? null : (
        <>
          <h3>Parameters</h3>
          {varies ? <p className="dim">Several numbers, as 0.2, 0.5, 1, go from the first layer to the last.</p> : null}
          <ParameterFields fields={own} draft={draft} path={['parameters']} change={change} />
        </>
      )}
      {perModel.length === 0 ? null : (
        <>
          <h3>For every model that has none of its own</h3>
          <ParameterFields fields={perModel} draft={draft} path={['parameters']} change={change} />
        </>
      )}
      <ModifierFields method={method} draft={draft} change={change} />
    </>
  );
}
