import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, type FileHandle, mkdir, open, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { AmalgamError } from '@amalgam/contracts';
import { fileError } from './file-errors.js';
import type { TransferOptions } from './port.js';

/** One call to the operating system moves less than 2 GiB. */
const MAX_CALL_BYTES = 2 ** 30;
const CHUNK_BYTES = 4 * 1024 * 1024;

/** Size and version of a file; `etag` is its size and its modification time in nanoseconds, both in hex. */
export interface FileVersion {
  bytes: number;
  etag: string;
  modified: Date;
}

export async function fileVersion(file: FileHandle): Promise<FileVersion & { isFile: boolean }> {
  const stat = await file.stat({ bigint: true });
  return { ...versionOf(stat), isFile: stat.isFile() };
}

/** The version from a `stat` made with `bigint: true`. */
export function versionOf(stat: { size: bigint; mtimeNs: bigint }): FileVersion {
  return {
    bytes: Number(stat.size),
    etag: `${stat.size.toString(16)}-${stat.mtimeNs.toString(16)}`,
    modified: new Date(Number(stat.mtimeNs / 1_000_000n)),
  };
}

/** Reads exactly `length` bytes, into an ArrayBuffer of their own, or returns null when the file ends before. */
export async function readExactly(file: FileHandle, offset: number, length: number): Promise<Uint8Array | null> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await file.read(bytes, done, Math.min(MAX_CALL_BYTES, length - done), offset + done);
    if (bytesRead === 0) return null;
    done += bytesRead;
  }
  return bytes;
}

/** Writes all of `bytes` at `offset`. */
export async function writeExactly(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  let done = 0;
  while (done < bytes.byteLength) {
    const { bytesWritten } = await file.write(
      bytes,
      done,
      Math.min(MAX_CALL_BYTES, bytes.byteLength - done),
      offset + done,
    );
    done += bytesWritten;
  }
}

/**
 * Copies a file: a reflink where the file system can, else in chunks, so that it can be aborted and reports progress.
 * A failure may leave part of `target`. System errors come as they are; an abort as the signal's reason.
 */
export async function copyInto(source: string, target: string, options: TransferOptions = {}): Promise<void> {
  options.signal?.throwIfAborted();
  const from = await open(source, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { bytes } = await fileVersion(from);
    if (await cloned(source, target)) {
      options.onProgress?.(bytes);
      return;
    }
    const to = await open(target, 'w');
    try {
      const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, Math.max(1, bytes)));
      for (let done = 0; ; ) {
        options.signal?.throwIfAborted();
        const { bytesRead } = await from.read(buffer, 0, buffer.byteLength, done);
        if (bytesRead === 0) break;
        await writeExactly(to, buffer.subarray(0, bytesRead), done);
        done += bytesRead;
        options.onProgress?.(done);
      }
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

async function cloned(source: string, target: string): Promise<boolean> {
  try {
    await copyFile(source, target, constants.COPYFILE_FICLONE_FORCE);
    return true;
  } catch {
    // No reflinks here (ext4, tmpfs, another device); whatever else is wrong, the plain copy will meet it too.
    await rm(target, { force: true });
    return false;
  }
}

/**
 * Makes `localPath` by writing a temporary file beside it and renaming that, so nobody sees half of it.
 * `fill` gets the temporary path; whatever it throws is thrown on, after the temporary file is gone.
 */
export async function writeAtomically(localPath: string, fill: (temp: string) => Promise<void>): Promise<void> {
  await mkdir(dirname(localPath), { recursive: true });
  const temp = `${localPath}.${randomUUID().slice(0, 13)}.part`;
  try {
    await fill(temp);
    await syncFile(temp);
    await rename(temp, localPath);
  } catch (error) {
    await rm(temp, { force: true });
    throw error;
  }
}

/** The real path of a local file that is to be stored as `key`. @throws not_found naming both */
export async function sourcePath(key: string, localPath: string): Promise<string> {
  try {
    return await realpath(localPath);
  } catch (error) {
    throw fileError(error, `object ${key}: the local file ${basename(localPath)}`);
  }
}

/** Forces a file's bytes to the disk. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The first `bytes` bytes of a local file. @throws storage_error when it is shorter */
export async function readFileExactly(path: string, bytes: number): Promise<Uint8Array> {
  const file = await open(path, 'r');
  try {
    const read = await readExactly(file, 0, bytes);
    if (read === null) throw new AmalgamError('storage_error', `${basename(path)} became shorter while it was read`);
    return read;
  } finally {
    await file.close();
  }
}
