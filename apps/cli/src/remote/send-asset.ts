import { basename, extname } from 'node:path';
import type { AssetQuery, Client, Download, UploadOptions } from '@amalgam/client';
import type { AssetFile, AssetKind, AssetResources, CreateAsset } from '@amalgam/contracts';
import type { LocalFile } from './local-files.js';

/** How an asset came to be known to the service. */
export interface SentAsset {
  id: string;
  how: 'uploaded' | 'resumed' | 'reused' | 'registered';
}

export interface SendOptions {
  name?: string | undefined;
  onProgress?(done: number, total: number): void;
}

/** By which an asset is found again; the digest of `contentOf`. */
const CONTENT = 'content_sha256';
/** So many of the newest assets are compared with files that came without that mark. */
const MOST_COMPARED = 1000;

/**
 * Makes an asset of this machine known to the service: the one that has the same files already, else an upload, which goes
 * on where an earlier one of the same files broke off.
 */
export async function sendLocal(
  client: Client,
  kind: AssetKind,
  { reference, folder }: { reference: string; folder: string },
  { name, onProgress }: SendOptions = {},
): Promise<SentAsset> {
  // It checks what it lists, with all that reads checkpoints and graphs; what only asks the service starts twice as fast without.
  const { contentOf, listLocalFiles } = await import('./local-files.js');
  const files = await listLocalFiles(kind, reference, folder);
  const metadata = { [CONTENT]: contentOf(files) };
  const calls = callsOf(client, kind);
  const known = await findSame(calls, files, metadata);
  if (known !== null) return { id: known, how: 'reused' };

  const begun = await first(calls.list({ state: 'pending', metadata }));
  const upload = {
    name: name ?? basename(reference, extname(reference)),
    files,
    metadata,
    ...(begun === null ? {} : { resume: begun.id }),
    ...(onProgress === undefined ? {} : { onProgress }),
  };
  const { id } = await calls.upload(upload);
  return { id, how: begun === null ? 'uploaded' : 'resumed' };
}

type Asset = AssetResources[AssetKind];

/** The calls that all kinds have. */
export interface AssetCalls {
  list(query?: AssetQuery): AsyncIterable<Asset>;
  get(id: string): Promise<Asset>;
  create(body: CreateAsset): Promise<Asset>;
  upload(upload: UploadOptions): Promise<Asset>;
  download: Download;
  delete(id: string): Promise<void>;
}

export function callsOf(client: Client, kind: AssetKind): AssetCalls {
  return { checkpoint: client.checkpoints, graph: client.graphs, dataset: client.datasets }[kind];
}

async function findSame(
  calls: AssetCalls,
  files: LocalFile[],
  metadata: Record<string, string>,
): Promise<string | null> {
  const marked = await first(calls.list({ state: 'ready', metadata }));
  // Whoever uploads may write what they like into metadata.
  if (marked !== null && haveSame(marked.files, files)) return marked.id;
  let compared = 0;
  for await (const asset of calls.list({ state: 'ready' })) {
    if (haveSame(asset.files, files)) return asset.id;
    if (++compared >= MOST_COMPARED) return null;
  }
  return null;
}

function haveSame(theirs: readonly AssetFile[], ours: readonly LocalFile[]): boolean {
  const digests = new Map(theirs.map(({ path, sha256 }) => [path, sha256]));
  return digests.size === ours.length && ours.every(({ path, sha256 }) => digests.get(path) === sha256);
}

async function first<T>(items: AsyncIterable<T>): Promise<T | null> {
  for await (const item of items) return item;
  return null;
}
