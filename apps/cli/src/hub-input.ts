import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AmalgamError, isAmalgamError } from '@amalgam/contracts';
import { shortName } from '@amalgam/engine';
import { hubConnection } from '@amalgam/runtime';
import { type FolderView, hubRepository, hubUri, parseUri, pinUri, readHubName, resolveUri } from '@amalgam/storage';
import { describeCheckpoint } from '@amalgam/tensors';
import type { LocalInput } from './local-input.js';

/** A checkpoint of the Hugging Face hub: its headers are read at once, its weights come when they are merged. */
export interface HubInput extends LocalInput {
  path: null;
  folder: FolderView;
  /** Where its files are kept on this machine, by their paths, once they are. */
  kept: Map<string, string>;
  /** What to tell of it: which commit it is. */
  note: string | null;
}

/** Whoever runs the command may read all of the hub. */
const ROOTS = { files: [], s3: [], hub: [''] };

/**
 * The hf:// URI that a recipe's reference stands for, or null: one that is written so, or `org/name[@revision]`, as mergekit's
 * recipes have it, where nothing lies at that path, nor a folder `org` that the name may be missing from.
 */
export async function hubUriOf(reference: string, folder: string): Promise<string | null> {
  if (/^hf:\/\//i.test(reference)) return reference;
  const named = readHubName(reference);
  if (named === null) return null;
  for (const place of [reference, reference.slice(0, reference.indexOf('/'))]) {
    if (await stat(resolve(folder, place)).catch(() => null)) return null;
  }
  return hubUri(named);
}

/** @throws AmalgamError `not_found`, `hub_refused`, `invalid_checkpoint`, `storage_error`, each naming the model */
export async function openHubInput(uri: string, reference: string, name?: string): Promise<HubInput> {
  const connection = hubConnection();
  try {
    const pinned = await pinUri(uri, ROOTS, connection);
    const folder = await resolveUri(pinned, ROOTS, undefined, undefined, connection);
    const kept = new Map<string, string>();
    const hub = hubRepository(pinned);
    return {
      reference,
      identity: pinned,
      name: name ?? nameOf(pinned),
      checkpoint: await describeCheckpoint(folder),
      ...(hub !== null && { hub }),
      folder,
      path: null,
      pathOf: (file) => {
        const path = kept.get(file);
        if (path === undefined) throw new AmalgamError('internal', `${pinned}/${file} was not fetched`);
        return path;
      },
      kept,
      note: pinned === reference ? null : noteOf(reference, pinned),
    };
  } catch (error) {
    if (!isAmalgamError(error) || uri === reference) throw error;
    throw new AmalgamError(error.code, `${reference}: there is no such file or folder; ${error.detail}`);
  }
}

export function isHubInput(input: LocalInput): input is HubInput {
  return input.path === null;
}

function noteOf(reference: string, pinned: string): string {
  const commit = /@([0-9a-f]{40})/.exec(pinned)?.[1] ?? pinned;
  const isBare = !reference.includes('://');
  return isBare
    ? `"${reference}" is no path here, so the model of that name on the Hugging Face hub is taken, commit ${commit}`
    : `"${reference}" is commit ${commit}`;
}

function nameOf(pinned: string): string {
  const parsed = parseUri(pinned);
  if (parsed.kind !== 'hub') return shortName(pinned);
  const file = parsed.path.split('/').at(-1) ?? '';
  const last = file.replace(/\.safetensors$/, '');
  const says = last !== '' && !/^(adapter_)?model$/.test(last);
  return shortName(says ? last : parsed.repo.slice(parsed.repo.indexOf('/') + 1));
}
