import { open, rm, stat, utimes } from 'node:fs/promises';
import { errno, isMissing } from './file-errors.js';

/** A lock whose holder has not shown signs of life for this long is taken to be dead. */
const STALE_MS = 15_000;
const HEARTBEAT_MS = 3_000;

export interface FileLock {
  release(): Promise<void>;
}

/**
 * Takes a lock that other processes on this machine respect, or returns null when somebody holds it. Advisory, and in
 * one rare case (two processes clear away one dead lock at once) both get it: only for saving work, not for safety.
 */
export async function tryLock(path: string): Promise<FileLock | null> {
  try {
    await (await open(path, 'wx')).close();
  } catch (error) {
    if (errno(error) !== 'EEXIST') throw error;
    if (await isStale(path)) await rm(path, { force: true });
    return null;
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => {});
  }, HEARTBEAT_MS);
  heartbeat.unref();
  return {
    async release() {
      clearInterval(heartbeat);
      await rm(path, { force: true });
    },
  };
}

async function isStale(path: string): Promise<boolean> {
  try {
    return (await stat(path)).mtimeMs < Date.now() - STALE_MS;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
