import { createWriteStream } from 'node:fs';
import { access, constants, type FileHandle, lstat, open, rm, unlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AmalgamError } from '@amalgam/contracts';
import { copyInto, type FileVersion, fileVersion, readExactly, sourcePath, writeAtomically } from './file-copy.js';
import { errno, fileError } from './file-errors.js';
import { listFiles } from './file-list.js';
import { FilePartUpload } from './file-part-upload.js';
import { publish } from './file-publish.js';
import { FileRoot } from './file-root.js';
import { checkExpires, checkFolder, checkKey, checkRange, pastEnd, wholeStore } from './keys.js';
import { limitBytes } from './limit-bytes.js';
import type {
  DownloadOptions,
  ListOptions,
  ObjectInfo,
  ObjectPage,
  ObjectStore,
  PartUpload,
  PutFileOptions,
  PutOptions,
  PutStreamOptions,
  ReadOptions,
  SignedGetOptions,
  SignedPartOptions,
  SignedPutOptions,
  StreamOptions,
} from './port.js';
import { signUrl } from './signed-url.js';

const WRITE_BUFFER_BYTES = 1024 * 1024;

export interface FileStoreOptions {
  /** Folder that holds the objects; made when missing. */
  root: string;
  /** Where the API is reached, for signed links. */
  baseUrl: string;
  /** Key of the signed links' HMAC. */
  secret: string;
}

/**
 * Objects as files below a folder. Writes go to `<root>/.tmp/`, reach the disk, and are then linked or renamed to
 * their name: readers see all or nothing, also after a crash.
 */
export class FileStore implements ObjectStore {
  readonly kind = 'file';
  readonly #root: FileRoot;
  readonly #baseUrl: string;
  readonly #secret: string;

  constructor(options: FileStoreOptions) {
    this.#root = new FileRoot(options.root);
    this.#baseUrl = options.baseUrl;
    this.#secret = options.secret;
  }

  async head(key: string): Promise<ObjectInfo | null> {
    return this.#guard(key, undefined, async () => {
      const opened = await this.#open(key);
      if (opened === null) return null;
      await opened.file.close();
      return opened.info;
    });
  }

  async read(key: string, offset: number, length: number, options: ReadOptions = {}): Promise<Uint8Array> {
    checkRange(key, offset, length);
    return this.#guard(key, undefined, async () => {
      const { file, info } = await this.#mustOpen(key, options.etag);
      try {
        const bytes = offset + length <= info.bytes ? await readExactly(file, offset, length) : null;
        if (bytes === null) throw pastEnd(key, offset, length, info.bytes);
        return bytes;
      } finally {
        await file.close();
      }
    });
  }

  async stream(key: string, options: StreamOptions = {}): Promise<Readable> {
    const { offset = 0, signal } = options;
    checkRange(key, offset, options.length ?? 0);
    return this.#guard(key, signal, async () => {
      signal?.throwIfAborted();
      const { file, info } = await this.#mustOpen(key);
      const length = options.length ?? info.bytes - offset;
      if (length < 0 || offset + length > info.bytes || length === 0) {
        await file.close();
        if (length === 0 && offset <= info.bytes) return Readable.from([], { objectMode: false });
        throw pastEnd(key, offset, Math.max(0, length), info.bytes);
      }
      return file.createReadStream({
        start: offset,
        end: offset + length - 1,
        highWaterMark: WRITE_BUFFER_BYTES,
        ...(signal === undefined ? {} : { signal }),
      });
    });
  }

  async put(key: string, body: Uint8Array | string, options: PutOptions = {}): Promise<ObjectInfo> {
    return this.#write(key, options, undefined, (temp) => writeFile(temp, body, { flag: 'wx' }));
  }

  async putFile(key: string, localPath: string, options: PutFileOptions = {}): Promise<ObjectInfo> {
    checkKey(key);
    const source = await sourcePath(key, localPath);
    if (options.consume === true) {
      const moved = await this.#guard(key, options.signal, () => this.#move(key, localPath, options));
      if (moved !== null) {
        options.onProgress?.(moved.bytes);
        return moved;
      }
    }
    const info = await this.#write(key, options, options.signal, (temp) => copyInto(source, temp, options));
    if (options.consume === true) await rm(localPath, { force: true });
    return info;
  }

  async putStream(key: string, stream: Readable, options: PutStreamOptions = {}): Promise<ObjectInfo> {
    return this.#write(key, options, options.signal, async (temp) => {
      const out = createWriteStream(temp, { flags: 'wx', highWaterMark: WRITE_BUFFER_BYTES });
      await pipeline(stream, (source) => limitBytes(key, source, options.maxBytes), out, { signal: options.signal });
    }).finally(() => stream.destroy());
  }

  async download(key: string, localPath: string, options: DownloadOptions = {}): Promise<void> {
    await this.#guard(key, options.signal, async () => {
      const { file } = await this.#mustOpen(key, options.etag);
      await file.close();
      const source = (await this.#root.existing(key)) ?? this.#root.pathOf(key);
      await writeAtomically(localPath, (temp) => copyInto(source, temp, options));
    });
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ObjectPage> {
    return this.#guard(prefix, undefined, () => listFiles(this.#root, prefix, options));
  }

  async delete(key: string): Promise<void> {
    await this.#guard(checkKey(key), undefined, async () => {
      const folder = key.includes('/') ? await this.#root.existing(dirname(key)) : await this.#root.real();
      if (folder === null) return;
      try {
        await unlink(this.#root.pathOf(key));
      } catch (error) {
        // EISDIR: a folder of objects has this name, so there is no object of this name.
        if (!['ENOENT', 'ENOTDIR', 'EISDIR', 'EPERM'].includes(errno(error) ?? '')) throw error;
        if (errno(error) === 'EPERM' && !(await lstat(this.#root.pathOf(key))).isDirectory()) throw error;
        return;
      }
      await this.#root.prune(key);
    });
  }

  async deletePrefix(prefix: string): Promise<number> {
    const folder = checkFolder(prefix);
    if (folder === '') throw wholeStore();
    let deleted = 0;
    for (;;) {
      const { objects, next_cursor } = await this.list(folder);
      for (const { key } of objects) await this.delete(key);
      deleted += objects.length;
      if (next_cursor === null) return deleted;
    }
  }

  async signedGetUrl(key: string, options: SignedGetOptions): Promise<string> {
    return signUrl(this.#baseUrl, this.#secret, {
      method: 'GET',
      key: checkKey(key),
      expires: expiry(options.expiresSeconds),
      ...(options.filename === undefined ? {} : { filename: options.filename }),
    });
  }

  async signedPutUrl(key: string, options: SignedPutOptions): Promise<string> {
    checkRange(key, 0, options.bytes);
    return signUrl(this.#baseUrl, this.#secret, {
      method: 'PUT',
      key: checkKey(key),
      expires: expiry(options.expiresSeconds),
      bytes: options.bytes,
    });
  }

  async beginParts(key: string): Promise<PartUpload> {
    const upload = this.#parts(key);
    await upload.begin();
    return upload;
  }

  async findParts(key: string): Promise<PartUpload | null> {
    const upload = this.#parts(key);
    return (await upload.exists()) ? upload : null;
  }

  localPath(key: string): string {
    return this.#root.existingSync(checkKey(key));
  }

  async abortStaleUploads(olderThanMs: number): Promise<number> {
    return this.#guard('.tmp', undefined, () => this.#root.sweep(olderThanMs));
  }

  async ping(): Promise<void> {
    try {
      await access(await this.#root.real(), constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      const detail = `the store's folder cannot be written: ${errno(error) ?? String(error)}`;
      throw new AmalgamError('storage_error', detail, { cause: error });
    }
  }

  async close(): Promise<void> {}

  #parts(key: string): FilePartUpload {
    checkKey(key);
    const sign = ({ number, bytes, expiresSeconds }: SignedPartOptions) => {
      checkRange(key, 0, bytes);
      const grant = { method: 'PUT' as const, key, expires: expiry(expiresSeconds), bytes, part: number };
      return signUrl(this.#baseUrl, this.#secret, grant);
    };
    return new FilePartUpload({ root: this.#root, key, sign });
  }

  async #guard<T>(key: string, signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw fileError(error, `object ${key}`, signal);
    }
  }

  async #open(key: string): Promise<{ file: FileHandle; info: ObjectInfo } | null> {
    const path = await this.#root.existing(checkKey(key));
    if (path === null) return null;
    let file: FileHandle;
    try {
      file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if (errno(error) === 'ENOENT') return null;
      throw error;
    }
    const version = await fileVersion(file);
    if (version.isFile) return { file, info: infoOf(key, version) };
    await file.close();
    return null;
  }

  async #mustOpen(key: string, etag?: string): Promise<{ file: FileHandle; info: ObjectInfo }> {
    const opened = await this.#open(key);
    if (opened === null) throw new AmalgamError('not_found', `object ${key}: there is no such object`);
    if (etag !== undefined && opened.info.etag !== etag) {
      await opened.file.close();
      throw new AmalgamError('checkpoint_changed', `object ${key}: the bytes changed since they were registered`);
    }
    return opened;
  }

  async #write(
    key: string,
    options: PutOptions,
    signal: AbortSignal | undefined,
    fill: (temp: string) => Promise<void>,
  ): Promise<ObjectInfo> {
    checkKey(key);
    return this.#guard(key, signal, async () => {
      signal?.throwIfAborted();
      const temp = await this.#root.temp();
      try {
        await fill(temp);
        signal?.throwIfAborted();
        return infoOf(key, await publish(this.#root, key, temp, options.ifAbsent === true));
      } catch (error) {
        await rm(temp, { force: true });
        throw error;
      }
    });
  }

  /** Hands a finished local file over without copying it; null when only a copy will do. */
  async #move(key: string, localPath: string, options: PutFileOptions): Promise<ObjectInfo | null> {
    options.signal?.throwIfAborted();
    const stat = await lstat(localPath);
    // A link's target, or a file with another name elsewhere, could be changed after it was published.
    if (!stat.isFile() || stat.nlink > 1) return null;
    try {
      return infoOf(key, await publish(this.#root, key, localPath, options.ifAbsent === true));
    } catch (error) {
      if (errno(error) === 'EXDEV') return null;
      throw error;
    }
  }
}

function infoOf(key: string, { bytes, etag, modified }: FileVersion): ObjectInfo {
  return { key, bytes, etag, modified };
}

function expiry(seconds: number): number {
  return Math.floor(Date.now() / 1000) + checkExpires(seconds);
}
