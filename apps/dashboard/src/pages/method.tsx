import type { Method } from '@amalgam/contracts';
import { client } from '../api.js';
import { showCount } from '../format.js';
import { Loading, TroubleNote } from '../parts/notes.js';
import { ScrollTable } from '../parts/scroll-table.js';
import { Section } from '../parts/section.js';
import { hrefOf } from '../router.js';
import { readParameters } from '../schema.js';
import { useLive } from '../use-live.js';

/** One method: formula, source, parameters and what to know about it. */
export function MethodPage({ name }: { name: string }) {
  const { data, trouble } = useLive(`method ${name}`, (signal) => client.methods.get(name, { signal }), 0);
  if (data === undefined) return trouble === null ? <Loading /> : <TroubleNote trouble={trouble} />;
  const { minimum, maximum } = data.models;
  return (
    <>
      <p className="crumbs">
        <a href={hrefOf(['methods'])}>Methods</a> /
      </p>
      <h1>{data.name}</h1>
      <p>{data.summary}.</p>
      <Section
        title="Formula"
        aside={
          <span className="buttons">
            <a href={hrefOf(['merges'], { method: name })}>its merges</a>
            <a href={hrefOf(['new'], { method: name })}>merge with it</a>
          </span>
        }
      >
        <p className="formula">{data.formula}</p>
        <p className="dim">{data.source}</p>
      </Section>
      <Section title="What it takes">
        <ul>
          <li>{{ required: 'A base', optional: 'A base, or none', none: 'No base' }[data.needs_base]}</li>
          <li>
            {maximum === null ? `At least ${showCount(minimum, 'model')}` : `From ${minimum} to ${maximum} models`}
          </li>
          <li>{data.needs_tasks ? 'Tasks, each with data: it learns from them' : 'Tasks only to be judged by'}</li>
        </ul>
      </Section>
      <Parameters title="Parameters" schema={data.parameters} />
      <Parameters title="Parameters of each model" schema={data.model_parameters} />
      <Notes title="Notes" notes={data.notes} />
      {data.modifiers.map((modifier) => (
        <Section key={modifier.name} title={`Afterwards: ${modifier.name}`}>
          <p>{modifier.summary}, as a modifier of the recipe.</p>
          <p className="formula">{modifier.formula}</p>
          <p className="dim">{modifier.source}</p>
        </Section>
      ))}
    </>
  );
}

function Notes({ title, notes }: { title: string; notes: readonly string[] }) {
  if (notes.length === 0) return null;
  return (
    <Section title={title}>
      <ul>
        {notes.map((note) => (
          <li key={note}>{note}</li>
        ))}
      </ul>
    </Section>
  );
}

function Parameters({ title, schema }: { title: string; schema: Method['parameters'] }) {
  const parameters = readParameters(schema);
  if (parameters.length === 0) return null;
  return (
    <Section title={title}>
      <ScrollTable label={title} columns={['Name', 'Values', 'Default', 'Meaning']}>
        {parameters.map(({ name, values, fallback, description }) => (
          <tr key={name}>
            <th scope="row">
              <code>{name}</code>
            </th>
            <td>{values}</td>
            <td>{fallback === null ? <span className="dim">none</span> : <code>{fallback}</code>}</td>
            <td>{description}</td>
          </tr>
        ))}
      </ScrollTable>
    </Section>
  );
}
