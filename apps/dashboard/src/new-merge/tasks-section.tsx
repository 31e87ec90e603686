import type { AssetKind, Method } from '@amalgam/contracts';
import { useAssetName } from '../asset-names.js';
import { Section } from '../parts/section.js';
import { AssetPicker } from './asset-picker.js';
import { type Draft, listAt, type Path, placesOf, pointerOf, textAt } from './draft.js';
import { Field } from './field.js';
import { Typed } from './typed.js';

interface TasksSectionProps {
  method: Method | undefined;
  draft: Draft;
  change(path: Path, value: unknown): void;
}

const ASSETS: [key: string, label: string, kind: AssetKind, hint: string][] = [
  ['graph', 'Graph', 'graph', 'ONNX model of the forward pass'],
  ['data', 'Data', 'dataset', 'What the method learns from; no labels are read'],
  ['evaluation', 'Evaluation', 'dataset', 'With labels for accuracy; the data if empty'],
];

const TEXTS: [key: string, label: string, hint: string][] = [
  ['logits', 'Logits', 'The graph’s output; needed where it has several'],
  ['mask', 'Mask', 'For token models: what leaves positions out'],
];

/** What the method learns from, and what the result is judged by. */
export function TasksSection({ method, draft, change }: TasksSectionProps) {
  const tasks = listAt(draft, ['tasks']);
  const models = listAt(draft, ['models']).map((model) => textAt(model, ['model']));
  const untold = models.filter((id) => id !== '' && !tasks.some((task) => textAt(task, ['model']) === id));
  const add = (ids: readonly string[]) => {
    const taken = tasks.length;
    const made = ids.map((model, i) => ({ name: `task-${taken + i + 1}`, ...(model === '' ? {} : { model }) }));
    change(['tasks'], [...tasks, ...made]);
  };
  return (
    <Section title="Tasks">
      <p className="dim">
        {method?.needs_tasks === true
          ? 'This method learns its coefficients from them: one for each model, with data.'
          : 'Optional: how well the result does them is measured, beside each task’s own model and the base.'}
      </p>
      <ol className="plain rows">
        {placesOf(tasks).map((place) => (
          <TaskRow key={place} index={place} draft={draft} change={change} models={models} />
        ))}
      </ol>
      <p className="buttons">
        <button type="button" id="at/recipe/tasks" onClick={() => add([''])}>
          Add a task
        </button>
        {untold.length < 2 ? null : (
          <button type="button" onClick={() => add(untold)}>
            One for each model
          </button>
        )}
      </p>
    </Section>
  );
}

interface TaskRowProps {
  index: number;
  draft: Draft;
  change(path: Path, value: unknown): void;
  models: readonly string[];
}

function TaskRow({ index, draft, change, models }: TaskRowProps) {
  const path = ['tasks', index];
  const text = (key: string) => textAt(draft, [...path, key]);
  const name = text('name') || `task ${index + 1}`;
  const typed = (key: string, label: string, hint?: string) => (
    <Field key={key} label={label} pointer={pointerOf([...path, key])} hint={hint}>
      {(props) => (
        <Typed
          {...props}
          written={text(key)}
          means={(written) => written}
          onType={(written) => change([...path, key], written || undefined)}
        />
      )}
    </Field>
  );
  return (
    <li className="row">
      <div className="row-head">
        <strong>{name}</strong>
        <button type="button" aria-label={`Take out ${name}`} onClick={() => change(path, undefined)}>
          ×
        </button>
      </div>
      <div className="fields">
        {typed('name', 'Name')}
        <Field label="Model" pointer={pointerOf([...path, 'model'])} hint="That was fine-tuned for it">
          {(props) => (
            <select
              {...props}
              value={text('model')}
              onChange={(event) => change([...path, 'model'], event.target.value || undefined)}
            >
              <option value="">Choose one</option>
              {[...new Set([...models, text('model')])]
                .filter((id) => id !== '')
                .map((id) => (
                  <ModelOption key={id} id={id} />
                ))}
            </select>
          )}
        </Field>
        {ASSETS.map(([key, label, kind, hint]) => (
          <Field key={key} label={label} pointer={pointerOf([...path, key])} hint={hint}>
            {(props) => (
              <AssetPicker
                {...props}
                kind={kind}
                value={text(key)}
                onChange={(id) => change([...path, key], id || undefined)}
              />
            )}
          </Field>
        ))}
      </div>
      <details open={text('logits') !== '' || text('mask') !== ''}>
        <summary>More</summary>
        <div className="fields">{TEXTS.map(([key, label, hint]) => typed(key, label, hint))}</div>
      </details>
    </li>
  );
}

function ModelOption({ id }: { id: string }) {
  return <option value={id}>{useAssetName('checkpoint', id)}</option>;
}
