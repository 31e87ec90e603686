import { realpath, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { AmalgamError, isAmalgamError } from '@amalgam/contracts';
import { fileError } from './file-errors.js';
import { isWithin } from './file-root.js';
import { type FolderFile, type FolderView, StoreFolder, someFiles, storeFolder } from './folder.js';
import { HubClient, type HubConnection } from './hub-client.js';
import { type HubFolder, hubEntryKind, openHubFolder } from './hub-folder.js';
import { type HubReference, hubUri } from './hub-reference.js';
import { LocalFolder, realInside } from './local-folder.js';
import type { ObjectStore } from './port.js';
import { type AllowedRoots, parseUri } from './roots.js';
import type { S3Connection } from './s3-client.js';
import { S3Store } from './s3-store.js';
import { refused } from './uri-segments.js';

/** Which single files may be registered. */
export interface SingleFileRule {
  /** What their names end with, as `.onnx`. */
  suffixes: readonly string[];
  /** Files in the same folder, or below it, that belong to the one that is named. */
  beside?: readonly string[];
}

const CHECKPOINT_FILE: SingleFileRule = { suffixes: ['.safetensors'] };

/** The stores behind s3:// URIs, one per bucket. */
export interface S3Access {
  bucket(name: string): ObjectStore;
}

/** Buckets of one S3 service; every store is opened once and lives until `close`. */
export class S3Buckets implements S3Access {
  readonly #connection: S3Connection;
  readonly #stores = new Map<string, S3Store>();

  constructor(connection: S3Connection) {
    this.#connection = connection;
  }

  bucket(name: string): ObjectStore {
    let store = this.#stores.get(name);
    if (store === undefined) {
      store = new S3Store({ ...this.#connection, bucket: name });
      this.#stores.set(name, store);
    }
    return store;
  }

  async close(): Promise<void> {
    for (const store of this.#stores.values()) await store.close();
    this.#stores.clear();
  }
}

export interface OpenUriOptions {
  roots: AllowedRoots;
  /** Needed for s3:// URIs. */
  s3?: S3Access;
  /** For hf:// URIs; default: the public hub, without a token. */
  hub?: HubConnection;
}

/** `resolveUri` with its settings in one object. */
export function openUri(uri: string, options: OpenUriOptions): Promise<FolderView> {
  return resolveUri(uri, options.roots, options.s3, CHECKPOINT_FILE, options.hub);
}

/**
 * Opens a registered URI, a folder or one file (`.safetensors` unless `rule` says otherwise), as a folder view whose
 * label is the URI. Whether something exists is only looked at, and only told, below the allowed roots.
 * @throws uri_not_allowed naming the URI and the rule; not_found; invalid_checkpoint when it is another kind of file
 */
export async function resolveUri(
  uri: string,
  roots: AllowedRoots,
  s3?: S3Access,
  rule: SingleFileRule = CHECKPOINT_FILE,
  hub?: HubConnection,
): Promise<FolderView> {
  const parsed = parseUri(uri);
  if (parsed.kind === 'file') return openPath(uri, parsed.path, roots.files, rule);
  if (parsed.kind === 'hub') {
    assertHubAllowed(uri, parsed, roots);
    return openHub(uri, parsed, new HubClient(hub), rule);
  }
  const below = roots.s3.some((root) => root.bucket === parsed.bucket && isBelow(root.prefix, parsed.prefix));
  if (!below) throw refused(uri, 'is not below an allowed root');
  if (s3 === undefined) throw refused(uri, 'this service has no connection to S3');
  return openPrefix(uri, s3.bucket(parsed.bucket), parsed.prefix, rule);
}

/**
 * The URI with its revision resolved: of the hub's models it names the commit that the revision is now, so that it always stands
 * for the same bytes. Others are what they were.
 * @throws as `resolveUri`
 */
export async function pinUri(uri: string, roots: AllowedRoots, hub?: HubConnection): Promise<string> {
  const parsed = parseUri(uri);
  if (parsed.kind !== 'hub') return uri;
  assertHubAllowed(uri, parsed, roots);
  const { repo, revision, path } = parsed;
  return hubUri({ repo, revision: await new HubClient(hub).commitOf({ label: uri, repo, revision }), path });
}

function assertHubAllowed(uri: string, { repo }: HubReference, roots: AllowedRoots): void {
  const [org] = repo.split('/');
  if (roots.hub.some((root) => root === '' || root === org || root === repo)) return;
  throw refused(
    uri,
    'is not below an allowed root; hf:// among them allows the whole hub, hf://org what is one account’s',
  );
}

async function openHub(
  uri: string,
  { repo, revision, path }: HubReference,
  client: HubClient,
  rule: SingleFileRule,
): Promise<FolderView> {
  const place = { label: uri, repo, revision };
  const commit = await client.commitOf(place);
  if (path === '') return openHubFolder(client, place, commit, '');
  const kind = await hubEntryKind(client, place, commit, path);
  if (kind === null) throw new AmalgamError('not_found', `${uri}: is not there`);
  if (kind === 'folder') return openHubFolder(client, place, commit, path);
  if (!isSingleFile(path, rule)) throw wrongKind(uri, rule);
  const at = path.lastIndexOf('/') + 1;
  const folder = await openHubFolder(client, place, commit, path.slice(0, Math.max(0, at - 1)));
  return oneFile(folder, await folder.describe(path.slice(at)), rule);
}

async function openPath(
  uri: string,
  path: string,
  files: readonly string[],
  rule: SingleFileRule,
): Promise<FolderView> {
  const root = files.find((allowed) => isWithin(allowed, path));
  if (root === undefined) throw refused(uri, 'is not below an allowed root');
  try {
    const roots = await realRoots(files);
    const real = await realInside(root, path, roots, uri);
    const info = await stat(real);
    if (info.isDirectory()) return new LocalFolder(uri, real, roots);
    if (!info.isFile() || !isSingleFile(path, rule)) throw wrongKind(uri, rule);
    // The file keeps the name it was registered by, also when that is a link to another name.
    const folder = new LocalFolder(uri, await realInside(root, dirname(path), roots, uri), roots);
    return oneFile(folder, await folder.describe(basename(path)), rule);
  } catch (error) {
    throw fileError(error, uri);
  }
}

async function openPrefix(uri: string, store: ObjectStore, prefix: string, rule: SingleFileRule): Promise<FolderView> {
  if (isSingleFile(prefix, rule)) {
    const at = prefix.lastIndexOf('/') + 1;
    const folder = new StoreFolder(store, prefix.slice(0, at), uri, false);
    const file = await folder.describe(prefix.slice(at)).catch((error: unknown) => {
      if (isAmalgamError(error) && error.code === 'not_found') return null;
      throw error;
    });
    if (file !== null) return oneFile(folder, file, rule);
  }
  const { objects } = await store.list(prefix === '' ? '' : `${prefix}/`, { limit: 1 });
  if (objects.length > 0) return storeFolder(store, prefix, uri, { skipHidden: true });
  if (prefix !== '' && (await store.head(prefix)) !== null) throw wrongKind(uri, rule);
  throw new AmalgamError('not_found', `${uri}: is not there`);
}

/** The allowed folders without symbolic links; those that do not exist here allow nothing. */
async function realRoots(files: readonly string[]): Promise<string[]> {
  const roots = await Promise.all(files.map((root) => realpath(root).catch(() => null)));
  return roots.filter((root) => root !== null);
}

/** By whole segments: `models` does not allow `models-private`. */
function isBelow(root: string, prefix: string): boolean {
  return root === '' || prefix === root || prefix.startsWith(`${root}/`);
}

function isSingleFile(path: string, { suffixes }: SingleFileRule): boolean {
  return suffixes.some((suffix) => path.endsWith(suffix));
}

/** The named file and those that belong to it. */
async function oneFile(
  folder: LocalFolder | StoreFolder | HubFolder,
  file: FolderFile,
  { beside = [] }: SingleFileRule,
): Promise<FolderView> {
  const others = [...new Set(beside)].filter((path) => path !== file.path);
  return someFiles(folder, file, await Promise.all(others.map((path) => folder.describe(path))));
}

function wrongKind(uri: string, { suffixes }: SingleFileRule): AmalgamError {
  return new AmalgamError('invalid_checkpoint', `${uri}: must be a folder or one ${suffixes.join(' or ')} file`);
}
