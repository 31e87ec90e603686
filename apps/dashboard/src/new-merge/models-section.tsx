import type { Method } from '@amalgam/contracts';
import { useAssetName } from '../asset-names.js';
import { Section } from '../parts/section.js';
import { AssetPicker } from './asset-picker.js';
import { type Draft, getAt, listAt, type Path, placesOf, pointerOf, textAt } from './draft.js';
import { Field } from './field.js';
import { readFields, showSetting } from './fields.js';
import { ParameterFields } from './parameter-fields.js';
import { Typed } from './typed.js';

interface ModelsSectionProps {
  method: Method | undefined;
  draft: Draft;
  change(path: Path, value: unknown): void;
}

/** Base and models, each model with parameters of its own. */
export function ModelsSection({ method, draft, change }: ModelsSectionProps) {
  const models = listAt(draft, ['models']);
  return (
    <Section title="Models">
      {method?.needs_base === 'none' && draft['base'] === undefined ? null : (
        <Field
          label={method?.needs_base === 'optional' ? 'Base (optional)' : 'Base'}
          pointer={pointerOf(['base'])}
          hint="What the models were fine-tuned from"
        >
          {(props) => (
            <AssetPicker
              {...props}
              kind="checkpoint"
              value={textAt(draft, ['base'])}
              onChange={(id) => change(['base'], id || undefined)}
            />
          )}
        </Field>
      )}
      <ol className="plain rows">
        {placesOf(models).map((place) => (
          <ModelRow key={place} index={place} method={method} draft={draft} change={change} />
        ))}
      </ol>
      <Field label="Add a model" pointer={pointerOf(['models'])}>
        {({ 'aria-invalid': _, ...props }) => (
          <AssetPicker
            {...props}
            aria-invalid={false}
            kind="checkpoint"
            value=""
            onChange={(id) => change(['models', models.length], { model: id })}
          />
        )}
      </Field>
    </Section>
  );
}

function ModelRow({ index, method, draft, change }: ModelsSectionProps & { index: number }) {
  const path = ['models', index];
  const id = textAt(draft, [...path, 'model']);
  const name = useAssetName('checkpoint', id);
  const fields = method === undefined ? [] : readFields(method.model_parameters);
  // A recipe that was filled in has the defaults for each model; only what differs is worth seeing at once.
  const own = fields.some(({ name: key, fallback }) => {
    const value = showSetting(getAt(draft, [...path, 'parameters', key]));
    return value !== '' && value !== (showSetting(getAt(draft, ['parameters', key])) || fallback);
  });
  return (
    <li className="row">
      <div className="row-head">
        <strong>{name || `Model ${index + 1}`}</strong> <span className="id dim wide">{id}</span>
        <button type="button" aria-label={`Take out ${name}`} onClick={() => change(path, undefined)}>
          ×
        </button>
      </div>
      {id === '' ? (
        <Field label="Checkpoint" pointer={pointerOf([...path, 'model'])}>
          {(props) => (
            <AssetPicker
              {...props}
              kind="checkpoint"
              value=""
              onChange={(chosen) => change([...path, 'model'], chosen || undefined)}
            />
          )}
        </Field>
      ) : null}
      <details open={own}>
        <summary>Its own name and parameters</summary>
        <Field
          label="Name"
          pointer={pointerOf([...path, 'name'])}
          hint="In reports and files; the checkpoint’s name if empty"
        >
          {(props) => (
            <Typed
              {...props}
              written={textAt(draft, [...path, 'name'])}
              means={(text) => text}
              onType={(text) => change([...path, 'name'], text || undefined)}
            />
          )}
        </Field>
        <ParameterFields
          fields={fields}
          draft={draft}
          path={[...path, 'parameters']}
          inherited={getAt(draft, ['parameters'])}
          change={change}
        />
      </details>
    </li>
  );
}
