import { stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { FolderView } from '@amalgam/storage';
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

/**
 * The hf:// URI that a recipe's reference stands for, or null: one that is written so, or `org/name[@revision]`, as mergekit's
 * recipes have it, where nothing lies at that path, nor a folder `org` that the name may be missing from.
 */
export async function hubUriOf(reference: string, folder: string): Promise<string | null> {
  if (/^hf:\/\//i.test(reference)) return reference;
  for (const place of [reference, reference.split('/')[0] ?? '']) {
    if (await stat(resolve(folder, place)).catch(() => null)) return null;
  }
  // Loaded here, so that merges of local files start without stores.
  const { hubUri, readHubName } = await import('@amalgam/storage');
  const named = readHubName(reference);
  return named === null ? null : hubUri(named);
}

export function isHubInput(input: LocalInput): input is HubInput {
  return input.path === null;
}
