import { AmalgamError } from '@amalgam/contracts';
import type { CachedFile } from '@amalgam/storage';
import { isHubInput } from './hub-input.js';
import type { LocalInput } from './local-input.js';

export interface FetchOptions {
  signal: AbortSignal;
  onProgress(done: number, total: number): void;
}

/**
 * Brings the weights of the hub's models into the cache of this machine, unless they are there; they stay until `release`.
 *
 * @throws AmalgamError `digest_mismatch`, `storage_full`, `storage_error`, `hub_refused`, `canceled`
 */
export async function fetchInputs(
  inputs: readonly LocalInput[],
  { signal, onProgress }: FetchOptions,
): Promise<{ release(): Promise<void> }> {
  const remote = inputs.filter(isHubInput);
  if (remote.length === 0) return { release: async () => {} };
  // Loaded here, so that merges of local files start without stores.
  const [{ hubCache }, { LocalCache }] = await Promise.all([import('@amalgam/runtime'), import('@amalgam/storage')]);
  const { folder, bytes: most } = hubCache();
  const cache = new LocalCache(folder, most);
  const held: CachedFile[] = [];
  const release = async (): Promise<void> => {
    for (const file of held) await file.release();
    await cache.close();
  };
  const wanted = remote.flatMap((input) =>
    input.checkpoint.files
      .filter(({ path }) => input.checkpoint.weightFiles.includes(path))
      .map(({ path, bytes }) => ({ input, path, bytes })),
  );
  const total = wanted.reduce((sum, { bytes }) => sum + bytes, 0);
  let before = 0;
  try {
    for (const { input, path, bytes } of wanted) {
      const options = { signal, onProgress: (done: number) => onProgress(before + done, total) };
      const file = await cache.acquire(input.folder, path, options);
      held.push(file);
      input.kept.set(path, file.path);
      before += bytes;
      onProgress(before, total);
    }
  } catch (error) {
    await release();
    throw signal.aborted ? new AmalgamError('canceled', 'the merge was canceled') : error;
  }
  return { release };
}
