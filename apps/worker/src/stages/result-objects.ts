import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { AmalgamError, isAmalgamError } from '@amalgam/contracts';
import type { WrittenFile } from '@amalgam/engine';
import { resultPrefix } from '@amalgam/runtime';
import type { ObjectStore } from '@amalgam/storage';
import type { WorkerContext } from '../context.js';

/** An object that vanishes between two looks is being cleared away; more often than this is no accident. */
const TRIES = 3;

/**
 * Stores a finished file, which is consumed, under a key that is never overwritten: the key may belong to a published
 * result by now, or to another attempt at the same plan. Equal bytes are as good as our own.
 *
 * @throws AmalgamError `object_exists` when other bytes lie there
 */
export async function putShard(
  store: ObjectStore,
  key: string,
  localFile: string,
  file: WrittenFile,
  signal: AbortSignal,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await store.putFile(key, localFile, { consume: true, ifAbsent: true, signal });
      return;
    } catch (error) {
      if (!isAmalgamError(error) || error.code !== 'object_exists') throw error;
      const found = await store.head(key);
      if (found === null && tries < TRIES) continue;
      const same =
        found?.bytes === file.bytes && file.sha256 !== null && (await digestOf(store, key, signal)) === file.sha256;
      if (same) return;
      throw new AmalgamError('object_exists', `${file.path}: another attempt left other bytes in its place`, {
        cause: error,
      });
    }
  }
}

/** What lies under a key once it has been written by whoever was first: us, or another attempt at the same plan. */
export async function putOrAdopt(store: ObjectStore, key: string, bytes: Uint8Array): Promise<Uint8Array> {
  for (let tries = 1; ; tries++) {
    try {
      await store.put(key, bytes, { ifAbsent: true });
      return bytes;
    } catch (error) {
      if (!isAmalgamError(error) || error.code !== 'object_exists') throw error;
      const found = await store.head(key);
      if (found !== null) return store.read(key, 0, found.bytes, { etag: found.etag });
      if (tries >= TRIES) throw error;
    }
  }
}

async function digestOf(store: ObjectStore, key: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(await store.stream(key, { signal }), hash, { signal });
  return hash.digest('hex');
}

/** Removes whatever a merge has stored. Only for a merge that ends without a result, under its claim or after its end. */
export async function discardResult({ parts }: Pick<WorkerContext, 'parts'>, mergeId: string): Promise<number> {
  await parts.database.shards.removeAll(mergeId);
  return parts.store.deletePrefix(resultPrefix(mergeId));
}
