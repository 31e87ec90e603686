import type { Method } from '@amalgam/contracts';
import { client } from '../api.js';
import { Loading, TroubleNote } from '../parts/notes.js';
import { hrefOf } from '../router.js';
import { useLive } from '../use-live.js';

/** How models can be merged. */
export function MethodsPage() {
  const { data, trouble } = useLive('methods', (signal) => client.methods.list({ signal }), 0);
  if (data === undefined) return trouble === null ? <Loading /> : <TroubleNote trouble={trouble} />;
  return (
    <>
      <h1>Methods</h1>
      <div className="methods">
        {data.map((method) => (
          <MethodCard key={method.name} method={method} />
        ))}
      </div>
    </>
  );
}

function MethodCard({ method: { name, summary, formula, source, needs_base, needs_tasks } }: { method: Method }) {
  return (
    <article className="card">
      <h2>
        <a href={hrefOf(['methods', name])}>{name}</a>
      </h2>
      <p>{summary}</p>
      <p className="formula">{formula}</p>
      <p className="dim">
        {source}. {{ required: 'Needs a base', optional: 'A base is optional', none: 'Takes no base' }[needs_base]}
        {needs_tasks ? ', and learns from tasks' : ''}.
      </p>
    </article>
  );
}
