import type { AssetKind, AssetResources } from '@amalgam/contracts';
import { ID_PATTERNS } from '@amalgam/contracts';
import { useEffect, useState } from 'react';
import { client, isAbort } from './api.js';

export type Asset = AssetResources[AssetKind];

const CALLS = { checkpoint: client.checkpoints, graph: client.graphs, dataset: client.datasets };

/** So many are offered; whoever wants another types more of its name. */
const MOST = 30;

/** What is ready and has a text in its name, the newest first; or what has that very id. @throws what the service says */
export async function searchAssets(kind: AssetKind, text: string): Promise<Asset[]> {
  const words = text.trim();
  if (new RegExp(ID_PATTERNS[kind]).test(words)) {
    return CALLS[kind].get(words).then(
      (asset) => [asset],
      () => [],
    );
  }
  const found: Asset[] = [];
  for await (const asset of CALLS[kind].list({ state: 'ready', ...(words === '' ? {} : { name: words }) })) {
    found.push(asset);
    if (found.length >= MOST) break;
  }
  return found;
}

/** Names that were asked for, by id: they do not change. */
const names = new Map<string, string>();

/** Remembers names that came with an answer. */
export function keepNames(assets: readonly Asset[]): void {
  for (const { id, name } of assets) names.set(id, name);
}

/** The name of what an id stands for where it has been seen, else the id. */
export function knownName(id: string): string {
  return names.get(id) ?? id;
}

/** The name of what an id stands for; the id until it is known, and where there is no such thing. */
export function useAssetName(kind: AssetKind, id: string): string {
  const [known, setKnown] = useState<{ id: string; name: string } | null>(null);
  useEffect(() => {
    if (names.has(id) || !new RegExp(ID_PATTERNS[kind]).test(id)) return;
    const end = new AbortController();
    CALLS[kind].get(id, { signal: end.signal }).then(
      (asset) => {
        keepNames([asset]);
        setKnown(asset);
      },
      (error: unknown) => {
        // The plan says what is not there; here it stays an id.
        if (!isAbort(error)) setKnown({ id, name: id });
      },
    );
    return () => end.abort();
  }, [kind, id]);
  return names.get(id) ?? (known?.id === id ? known.name : id);
}
