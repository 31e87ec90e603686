import type { AssetKind } from '@amalgam/contracts';
import { useState } from 'react';
import { Files } from '../parts/files.js';
import { Loading, TroubleNote } from '../parts/notes.js';
import { hrefOf } from '../router.js';
import { mayWrite, useSession } from '../session.js';
import { useLive } from '../use-live.js';
import { AssetState } from './asset-state.js';
import { Config } from './config.js';
import { DatasetTensors } from './dataset-tensors.js';
import { DeleteDialog } from './delete-dialog.js';
import { Facts } from './facts.js';
import { GraphContents } from './graph-contents.js';
import { type Asset, callsOf, fileUrl, KINDS } from './kinds.js';
import { Lineage } from './lineage.js';
import { Tensors } from './tensors/tensors.js';
import { ResumePanel } from './upload/resume-panel.js';
import { useUploads } from './upload/uploads.js';

const EVERY_MS = 4000;

interface AssetPageProps {
  kind: AssetKind;
  id: string;
  query: URLSearchParams;
}

/** A checkpoint, graph or dataset. */
export function AssetPage({ kind, id, query }: AssetPageProps) {
  const [ready, setReady] = useState(false);
  // What has just been uploaded here is ready before the next look at it.
  const sent = useUploads().some((upload) => upload.id === id && upload.state === 'ready');
  // What is ready never changes.
  const { data, trouble } = useLive(
    `${id} ${sent}`,
    async (signal) => {
      const asset: Asset = await callsOf(kind).get(id, { signal });
      if (asset.state === 'ready') setReady(true);
      return asset;
    },
    ready ? 0 : EVERY_MS,
  );
  if (data === undefined) return trouble === null ? <Loading /> : <TroubleNote trouble={trouble} />;
  return <Shown asset={data} query={query} />;
}

function Shown({ asset, query }: { asset: Asset; query: URLSearchParams }) {
  const { session } = useSession();
  const [deleting, setDeleting] = useState(false);
  const { plural, title } = KINDS[asset.object];
  return (
    <>
      <p className="crumbs">
        <a href={hrefOf([plural])}>{title}</a> / <span className="id">{asset.id}</span>
      </p>
      <div className="title asset-title">
        <h1>{asset.name}</h1>
        <AssetState state={asset.state} />
        {mayWrite(session) ? (
          <span className="actions">
            <button type="button" onClick={() => setDeleting(true)}>
              Delete…
            </button>
          </span>
        ) : null}
      </div>
      {deleting ? <DeleteDialog asset={asset} onClosed={() => setDeleting(false)} /> : null}
      <Facts asset={asset} />
      {asset.state === 'pending' ? (
        <ResumePanel asset={asset} />
      ) : (
        <>
          <Lineage asset={asset} />
          {asset.object === 'checkpoint' ? (
            <Tensors checkpoint={asset} chosen={query.get('tensor')} search={query.get('q') ?? ''} />
          ) : null}
          {asset.object === 'graph' ? <GraphContents graph={asset} /> : null}
          {asset.object === 'dataset' ? <DatasetTensors dataset={asset} /> : null}
          {asset.object === 'checkpoint' ? <Config checkpoint={asset} /> : null}
          <Files files={asset.files} urlOf={(path) => fileUrl(asset, path)} />
        </>
      )}
    </>
  );
}
