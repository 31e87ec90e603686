import { isFinal, MERGE_STATES, type Merge, type MergeState } from '@amalgam/contracts';
import { useId, useState } from 'react';
import { client, isSignedOut, type Trouble, toTrouble } from '../api.js';
import { secondsBetween, showSeconds } from '../format.js';
import { type Held, withFirstPage, withOlderPage } from '../merge-list.js';
import { MergeProgress } from '../parts/merge-progress.js';
import { Empty, Loading, TroubleNote } from '../parts/notes.js';
import { Time, useNow } from '../parts/time.js';
import { hrefOf } from '../router.js';
import { useSession } from '../session.js';
import { useLive } from '../use-live.js';

const PAGE = 50;
const EVERY_MS = 2500;
/** Rows below the first page that are asked for one by one, since they may still change. */
const MOST_SINGLE = 20;

/** All merges, the newest first, with filters in the page's address. */
export function MergesPage({ query }: { query: URLSearchParams }) {
  const state = query.get('state') ?? '';
  const method = query.get('method') ?? '';
  return (
    <>
      <h1>Merges</h1>
      <Filters state={state} method={method} />
      <MergeTable key={`${state} ${method}`} state={state} method={method} />
    </>
  );
}

function Filters({ state, method }: { state: string; method: string }) {
  const stateId = useId();
  const methodId = useId();
  const { data: methods } = useLive('methods', (signal) => client.methods.list({ signal }), 0);
  const names = methods?.map(({ name }) => name) ?? [];
  const go = (change: Record<string, string>) => {
    location.hash = hrefOf(['merges'], { state, method, ...change });
  };
  return (
    <search className="filters">
      <label htmlFor={stateId}>State</label>
      <select id={stateId} value={state} onChange={(event) => go({ state: event.target.value })}>
        <option value="">all</option>
        {MERGE_STATES.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      <label htmlFor={methodId}>Method</label>
      <select id={methodId} value={method} onChange={(event) => go({ method: event.target.value })}>
        <option value="">all</option>
        {(names.includes(method) || method === '' ? names : [...names, method]).map((name) => (
          <option key={name}>{name}</option>
        ))}
      </select>
      {state === '' && method === '' ? null : (
        <button type="button" onClick={() => go({ state: '', method: '' })}>
          Clear
        </button>
      )}
    </search>
  );
}

function MergeTable({ state, method }: { state: string; method: string }) {
  const { onSignedOut } = useSession();
  const filter = { ...(isState(state) ? { state } : {}), ...(method === '' ? {} : { method }), limit: PAGE };
  const [held, setHeld] = useState<Held | null>(null);
  const [moreTrouble, setMoreTrouble] = useState<Trouble | null>(null);

  const load = async (signal: AbortSignal): Promise<void> => {
    const first = await client.merges.page(filter, { signal });
    const ids = new Set(first.data.map(({ id }) => id));
    const open = held?.rows.filter((merge) => !isFinal(merge.state) && !ids.has(merge.id)).slice(0, MOST_SINGLE) ?? [];
    const fresh = await Promise.all(open.map(({ id }) => client.merges.get(id, { signal })));
    setHeld((now) => withFirstPage(now, first, fresh, (merge) => !isState(state) || merge.state === state));
  };
  const { trouble } = useLive('merges', load, EVERY_MS);
  if (held === null) return trouble === null ? <Loading /> : <TroubleNote trouble={trouble} />;

  const { rows, cursor } = held;
  const loadMore = async (after: string) => {
    setMoreTrouble(null);
    try {
      const page = await client.merges.page({ ...filter, after });
      setHeld((now) => (now === null ? now : withOlderPage(now, page)));
    } catch (error) {
      if (isSignedOut(error)) onSignedOut();
      else setMoreTrouble(toTrouble(error));
    }
  };

  return (
    <>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      {rows.length === 0 ? (
        <Empty>
          {state === '' && method === '' ? 'No merge yet: POST /v1/merges makes one.' : 'No merge is like that.'}
        </Empty>
      ) : (
        <table className="card merges">
          <thead>
            <tr>
              <th scope="col">Merge</th>
              <th scope="col">State</th>
              <th scope="col" className="wide">
                Method
              </th>
              <th scope="col" className="wide">
                Tasks
              </th>
              <th scope="col">Created</th>
              <th scope="col" className="wide">
                Took
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((merge) => (
              <Row key={merge.id} merge={merge} />
            ))}
          </tbody>
        </table>
      )}
      {moreTrouble === null ? null : <TroubleNote trouble={moreTrouble} />}
      {cursor === null ? null : (
        <p className="center">
          <button type="button" onClick={() => loadMore(cursor)}>
            Load more
          </button>
        </p>
      )}
    </>
  );
}

function Row({ merge }: { merge: Merge }) {
  const tasks = merge.recipe.tasks?.map(({ name }) => name) ?? [];
  return (
    <tr>
      <th scope="row">
        <a href={hrefOf(['merges', merge.id])}>{merge.name ?? merge.id}</a>
        {merge.name === null ? null : <div className="dim id wide">{merge.id}</div>}
        <div className="dim narrow">{merge.method}</div>
      </th>
      <td>
        <MergeProgress merge={merge} />
      </td>
      <td className="wide">{merge.method}</td>
      <td className="wide" title={tasks.join(', ')}>
        {tasks.length === 0 ? <span className="dim">none</span> : tasks.length}
      </td>
      <td>
        <Time at={merge.created_at} />
      </td>
      <td className="wide">
        <Took merge={merge} />
      </td>
    </tr>
  );
}

function Took({ merge: { started_at, finished_at, state } }: { merge: Merge }) {
  const now = useNow();
  const seconds = secondsBetween(started_at, finished_at, now);
  // A merge that went back to the queue keeps the time of its first start.
  if (seconds === null || state === 'queued') return <span className="dim">–</span>;
  return showSeconds(finished_at === null ? Math.round(seconds) : seconds);
}

function isState(text: string): text is MergeState {
  return (MERGE_STATES as readonly string[]).includes(text);
}
