import { AmalgamError, isAmalgamError } from '@amalgam/contracts';
import type { ListFileEntry } from '@huggingface/hub';
import { fileError } from './file-errors.js';
import {
  type FolderFile,
  type FolderSource,
  type FolderView,
  isHidden,
  MAX_FOLDER_FILES,
  noFile,
  tooManyFiles,
} from './folder.js';
import type { HubClient } from './hub-client.js';
import { downloadHubFile } from './hub-download.js';
import type { HubPlace } from './hub-errors.js';
import { type HubFile, HubReader } from './hub-read.js';
import { checkKey } from './keys.js';
import type { TransferOptions } from './port.js';

/** A folder of one commit of a repository; `files` by their paths in that folder. */
export class HubFolder implements FolderView {
  readonly label: string;
  readonly resumes = true;
  readonly #client: HubClient;
  readonly #place: HubPlace;
  readonly #commit: string;
  readonly #files: ReadonlyMap<string, HubFile>;
  readonly #readers = new Map<string, HubReader>();

  constructor(client: HubClient, place: HubPlace, commit: string, files: ReadonlyMap<string, HubFile>) {
    this.label = place.label;
    this.#client = client;
    this.#place = place;
    this.#commit = commit;
    this.#files = files;
  }

  async list(): Promise<FolderFile[]> {
    return [...this.#files].map(([path, file]) => shown(path, file));
  }

  source(path: string): FolderSource {
    const file = this.#file(path);
    const reader = this.#reader(path, file);
    return {
      name: `${this.label}/${path}`,
      size: async () => file.bytes,
      read: (offset, length) => reader.read(offset, length),
    };
  }

  /** One file as `list` shows it. @throws not_found */
  async describe(path: string): Promise<FolderFile> {
    return shown(path, this.#file(path));
  }

  localPath(path: string): null {
    this.#file(path);
    return null;
  }

  async fetch(path: string, localFile: string, options: TransferOptions = {}): Promise<void> {
    const file = this.#file(path);
    const label = `${this.label}/${path}`;
    try {
      await downloadHubFile(this.#reader(path, file), file, label, localFile, options);
    } catch (error) {
      throw fileError(error, label, options.signal);
    }
  }

  #file(path: string): HubFile {
    const file = this.#files.get(checkKey(path));
    if (file === undefined) throw noFile(this.label, path);
    return file;
  }

  #reader(path: string, file: HubFile): HubReader {
    let reader = this.#readers.get(path);
    if (reader === undefined) {
      reader = new HubReader(this.#client, { ...this.#place, label: `${this.label}/${path}` }, this.#commit, file);
      this.#readers.set(path, reader);
    }
    return reader;
  }
}

/** The files below `folder` of a commit. @throws not_found when it is no folder; invalid_checkpoint; as `HubClient.list` */
export async function openHubFolder(
  client: HubClient,
  place: HubPlace,
  commit: string,
  folder: string,
): Promise<HubFolder> {
  const most = 2 * MAX_FOLDER_FILES;
  const entries = await client.list(place, commit, folder, { recursive: true, most });
  const prefix = folder === '' ? '' : `${folder}/`;
  const files = new Map<string, HubFile>();
  for (const entry of entries) {
    const path = entry.path.startsWith(prefix) ? entry.path.slice(prefix.length) : '';
    if (entry.type === 'file' && path !== '' && !isHidden(path)) files.set(checkKey(path), toFile(place, entry));
  }
  if (entries.length > most || files.size > MAX_FOLDER_FILES) throw tooManyFiles(place.label);
  return new HubFolder(client, place, commit, files);
}

/** Whether a path names a file; null when there is nothing. @throws as `HubClient.list` */
export async function hubEntryKind(
  client: HubClient,
  place: HubPlace,
  commit: string,
  path: string,
): Promise<'file' | 'folder' | null> {
  const folder = path.slice(0, Math.max(0, path.lastIndexOf('/')));
  try {
    const entries = await client.list(place, commit, folder, { recursive: false, most: MAX_FOLDER_FILES });
    const found = entries.find((entry) => entry.path === path);
    return found === undefined ? null : found.type === 'file' ? 'file' : 'folder';
  } catch (error) {
    if (isAmalgamError(error) && error.code === 'not_found') return null;
    throw error;
  }
}

function shown(path: string, { bytes, digest }: HubFile): FolderFile {
  return { path, bytes, etag: digest.hex };
}

function toFile(place: HubPlace, { path, size, oid, lfs }: ListFileEntry): HubFile {
  const digest =
    lfs === undefined ? { kind: 'git' as const, hex: oid ?? '' } : { kind: 'sha256' as const, hex: lfs.oid };
  const isWhole = Number.isSafeInteger(size) && size >= 0 && /^[0-9a-f]+$/.test(digest.hex);
  if (!isWhole) {
    throw new AmalgamError('storage_error', `${place.label}: the hub does not state size and digest of ${path}`);
  }
  return { path, bytes: size, digest };
}
