import { link, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { type FileVersion, fileVersion } from './file-copy.js';
import { errno } from './file-errors.js';
import { type FileRoot, syncFolder } from './file-root.js';

/** Publishing tries again this often when a concurrent delete takes the folder away. */
const PUBLISH_TRIES = 10;

/**
 * Forces a finished file to the disk and gives it its key's name; it is gone from `path` then.
 * @throws object_exists with `ifAbsent`; system errors as they are
 */
export async function publish(root: FileRoot, key: string, path: string, ifAbsent: boolean): Promise<FileVersion> {
  const version = await seal(path);
  for (let tries = 1; ; tries++) {
    try {
      const target = await root.forWriting(key);
      if (ifAbsent) await linkNew(key, path, target);
      else await rename(path, target);
      await syncFolder(dirname(target));
      return version;
    } catch (error) {
      if (errno(error) !== 'ENOENT' || tries >= PUBLISH_TRIES) throw error;
    }
  }
}

async function linkNew(key: string, path: string, target: string): Promise<void> {
  try {
    await link(path, target);
  } catch (error) {
    if (errno(error) !== 'EEXIST') throw error;
    throw new AmalgamError('object_exists', `object ${key} exists already`, { cause: error });
  }
  await unlink(path);
}

/**
 * Forces a file to the disk. The time of change, half of the etag, is set here: the kernel's own clock for it is so
 * coarse that two writes of one size within some milliseconds would look alike.
 */
async function seal(path: string): Promise<FileVersion> {
  const file = await open(path, 'r');
  try {
    const now = (Date.now() + Math.random()) / 1000;
    await file.utimes(now, now);
    await file.sync();
    return await fileVersion(file);
  } finally {
    await file.close();
  }
}
