import type { AssetKind } from '@amalgam/contracts';
import './assets.css';
import { AssetPage } from './asset-page.js';
import { AssetListPage } from './list-page.js';

interface AssetsProps {
  kind: AssetKind;
  /** Of the one that is looked at; undefined for their list. */
  id: string | undefined;
  query: URLSearchParams;
}

/** The pages of checkpoints, graphs and datasets, loaded when the first of them is opened. */
export default function Assets({ kind, id, query }: AssetsProps) {
  return id === undefined ? (
    <AssetListPage key={kind} kind={kind} query={query} />
  ) : (
    <AssetPage key={id} kind={kind} id={id} query={query} />
  );
}
