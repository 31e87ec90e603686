import type { AssetKind } from '@amalgam/contracts';
import { type ReactNode, useEffect, useId, useState } from 'react';
import { isSignedOut, type Trouble, toTrouble } from '../api.js';
import { showBytes, showCount } from '../format.js';
import { Empty, Loading, TroubleNote } from '../parts/notes.js';
import { Time } from '../parts/time.js';
import { hrefOf } from '../router.js';
import { mayWrite, useSession } from '../session.js';
import { useLive } from '../use-live.js';
import { type Held, withFirstPage, withOlderPage } from './asset-list.js';
import { AssetState } from './asset-state.js';
import { type Asset, callsOf, KINDS } from './kinds.js';
import { UploadPanel } from './upload/upload-panel.js';
import { useUploads } from './upload/uploads.js';

const PAGE = 50;
const EVERY_MS = 4000;
const TYPING_MS = 300;

const STATES = ['ready', 'pending'] as const;
type State = (typeof STATES)[number];

/** All assets of a kind, the newest first, with filters in the page's address; and uploads. */
export function AssetListPage({ kind, query }: { kind: AssetKind; query: URLSearchParams }) {
  const { session } = useSession();
  const state = query.get('state') ?? '';
  const name = query.get('name') ?? '';
  return (
    <>
      <h1>{KINDS[kind].title}</h1>
      {mayWrite(session) ? <UploadPanel kind={kind} /> : null}
      <Filters kind={kind} state={state} name={name} />
      <AssetTable key={`${kind} ${state} ${name}`} kind={kind} state={state} name={name} />
    </>
  );
}

function Filters({ kind, state, name }: { kind: AssetKind; state: string; name: string }) {
  const nameId = useId();
  const stateId = useId();
  const [typed, setTyped] = useState(name);
  const { plural } = KINDS[kind];
  useEffect(() => setTyped(name), [name]);
  useEffect(() => {
    if (typed === name) return;
    const timer = setTimeout(() => {
      location.hash = hrefOf([plural], { state, name: typed });
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed, name, state, plural]);
  return (
    <search className="filters">
      <label htmlFor={nameId}>Search names</label>
      <input
        id={nameId}
        type="search"
        maxLength={200}
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
      />
      <label htmlFor={stateId}>State</label>
      <select
        id={stateId}
        value={state}
        onChange={(event) => {
          location.hash = hrefOf([plural], { state: event.target.value, name: typed });
        }}
      >
        <option value="">all</option>
        {STATES.map((each) => (
          <option key={each}>{each}</option>
        ))}
      </select>
    </search>
  );
}

function AssetTable({ kind, state, name }: { kind: AssetKind; state: string; name: string }) {
  const { onSignedOut } = useSession();
  const filter = { ...(isState(state) ? { state } : {}), ...(name === '' ? {} : { name }), limit: PAGE };
  const [held, setHeld] = useState<Held<Asset> | null>(null);
  const [moreTrouble, setMoreTrouble] = useState<Trouble | null>(null);
  const calls = callsOf(kind);
  const load = async (signal: AbortSignal): Promise<void> => {
    const first = await calls.page(filter, { signal });
    setHeld((now) => withFirstPage<Asset>(now, first));
  };
  // What has just been uploaded here is not waited for.
  const sent = useUploads().filter((upload) => upload.kind === kind && upload.state === 'ready').length;
  const { trouble } = useLive(`${kind} ${state} ${name} ${sent}`, load, EVERY_MS);
  if (held === null) return trouble === null ? <Loading /> : <TroubleNote trouble={trouble} />;

  const { rows, cursor } = held;
  const loadMore = async (after: string) => {
    setMoreTrouble(null);
    try {
      const page = await calls.page({ ...filter, after });
      setHeld((now) => (now === null ? now : withOlderPage<Asset>(now, page)));
    } catch (error) {
      if (isSignedOut(error)) onSignedOut();
      else setMoreTrouble(toTrouble(error));
    }
  };
  const noun = KINDS[kind].plural;
  return (
    <>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      {rows.length === 0 ? (
        <Empty>
          {state === '' && name === ''
            ? `No ${noun} yet: upload or register the first one above.`
            : `No ${kind} is like that.`}
        </Empty>
      ) : (
        <table className="card assets">
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">State</th>
              <th scope="col">Size</th>
              <th scope="col" className="wide">
                Contents
              </th>
              <th scope="col" className="wide">
                From
              </th>
              <th scope="col">Created</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((asset) => (
              <Row key={asset.id} asset={asset} />
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

function Row({ asset }: { asset: Asset }) {
  return (
    <tr>
      <th scope="row">
        <a href={hrefOf([KINDS[asset.object].plural, asset.id])}>{asset.name}</a>
        <div className="dim id wide">{asset.id}</div>
      </th>
      <td>
        <AssetState state={asset.state} />
      </td>
      <td>{showBytes(asset.bytes)}</td>
      <td className="wide">{asset.state === 'ready' ? <Contents asset={asset} /> : <span className="dim">–</span>}</td>
      <td className="wide">
        <Source asset={asset} />
      </td>
      <td>
        <Time at={asset.created_at} />
      </td>
    </tr>
  );
}

function Contents({ asset }: { asset: Asset }): ReactNode {
  if (asset.object === 'checkpoint') {
    return `${showCount(asset.tensors, 'tensor')}, ${Object.keys(asset.dtypes).join(', ') || 'empty'}`;
  }
  if (asset.object === 'graph') return showCount(asset.nodes, 'node');
  return `${showCount(asset.rows, 'row')}, ${asset.labelled ? 'labelled' : 'without labels'}`;
}

function Source({ asset }: { asset: Asset }): ReactNode {
  if (asset.object === 'checkpoint' && asset.merge_id !== null) {
    return <a href={hrefOf(['merges', asset.merge_id])}>merge</a>;
  }
  return <span title={asset.uri ?? undefined}>{asset.source === 'uri' ? 'registered' : 'upload'}</span>;
}

function isState(text: string): text is State {
  return (STATES as readonly string[]).includes(text);
}
