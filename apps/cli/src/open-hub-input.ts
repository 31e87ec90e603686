import { AmalgamError, isAmalgamError } from '@amalgam/contracts';
import { shortName } from '@amalgam/engine';
import { hubConnection } from '@amalgam/runtime';
import { hubRepository, parseUri, pinUri, resolveUri } from '@amalgam/storage';
import { describeCheckpoint } from '@amalgam/tensors';
import type { HubInput } from './hub-input.js';

/** Whoever runs the command may read all of the hub. */
const ROOTS = { files: [], s3: [], hub: [''] };

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
