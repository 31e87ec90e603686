import { rm, stat } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { AmalgamError } from '@amalgam/contracts';
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { readFileExactly, sourcePath } from './file-copy.js';
import { fileError } from './file-errors.js';
import {
  checkExpires,
  checkFolder,
  checkKey,
  checkPrefix,
  checkRange,
  decodeCursor,
  encodeCursor,
  pageLimit,
  wholeStore,
} from './keys.js';
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
  SignedPutOptions,
  StreamOptions,
} from './port.js';
import { type S3Options, s3Client } from './s3-client.js';
import { isNotFound, s3Error } from './s3-errors.js';
import { createMultipart, findMultipart, S3PartUpload } from './s3-part-upload.js';
import { fileParts, PART_BYTES, streamParts } from './s3-parts.js';
import { downloadObject, getRange, headObject, mustHead, openStream, type S3Object, unquoted } from './s3-read.js';
import { conflict, putParts, putWhole, retryingConflicts, type Upload, WriteConflict } from './s3-upload.js';

/** Objects in a bucket, or in one folder of it. Anything that speaks S3 with conditional writes will do. */
export class S3Store implements ObjectStore {
  readonly kind = 's3';
  readonly #client: S3Client;
  readonly #signer: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;

  constructor(options: S3Options) {
    this.#client = s3Client(options);
    this.#signer =
      options.publicEndpoint === undefined ? this.#client : s3Client({ ...options, endpoint: options.publicEndpoint });
    this.#bucket = options.bucket;
    this.#prefix = checkFolder(options.prefix ?? '');
  }

  async head(key: string): Promise<ObjectInfo | null> {
    return headObject(this.#object(key));
  }

  async read(key: string, offset: number, length: number, options: ReadOptions = {}): Promise<Uint8Array> {
    checkRange(key, offset, length);
    return getRange(this.#object(key), offset, length, options);
  }

  async stream(key: string, options: StreamOptions = {}): Promise<Readable> {
    checkRange(key, options.offset ?? 0, options.length ?? 0);
    options.signal?.throwIfAborted();
    return openStream(this.#object(key), options.offset ?? 0, options.length, options.signal);
  }

  async put(key: string, body: Uint8Array | string, options: PutOptions = {}): Promise<ObjectInfo> {
    await putWhole(this.#upload(key, options), typeof body === 'string' ? Buffer.from(body) : body);
    return mustHead(this.#object(key));
  }

  async putFile(key: string, localPath: string, options: PutFileOptions = {}): Promise<ObjectInfo> {
    const upload = this.#upload(key, options);
    options.signal?.throwIfAborted();
    const path = await sourcePath(key, localPath);
    try {
      const { size } = await stat(path);
      if (size <= PART_BYTES) await putWhole(upload, await readFileExactly(path, size));
      else await retryingConflicts(upload, () => putParts(upload, fileParts(key, path, size)));
      const info = await mustHead(this.#object(key));
      if (options.consume === true) await rm(localPath, { force: true });
      return info;
    } catch (error) {
      throw fileError(error, `object ${key}`, options.signal);
    }
  }

  async putStream(key: string, stream: Readable, options: PutStreamOptions = {}): Promise<ObjectInfo> {
    const upload = this.#upload(key, options);
    const parts = streamParts(key, stream, options);
    try {
      options.signal?.throwIfAborted();
      const first = await parts.next();
      const second = first.done === true ? first : await parts.next();
      if (first.done === true) await putWhole(upload, new Uint8Array(0));
      else if (second.done === true) await putWhole(upload, first.value);
      else await putParts(upload, chain([first.value, second.value], parts));
      return await mustHead(this.#object(key));
    } catch (error) {
      throw fileError(error instanceof WriteConflict ? conflict(upload) : error, `object ${key}`, options.signal);
    } finally {
      stream.destroy();
    }
  }

  async download(key: string, localPath: string, options: DownloadOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    await downloadObject(this.#object(key), localPath, options);
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ObjectPage> {
    const full = this.#prefix + checkPrefix(prefix);
    const after = options.cursor === undefined ? undefined : this.#prefix + decodeCursor(options.cursor);
    const page = await this.#call(full, () =>
      this.#client.send(
        new ListObjectsV2Command({
          Bucket: this.#bucket,
          Prefix: full,
          MaxKeys: pageLimit(options.limit),
          ...(after === undefined ? {} : { StartAfter: after }),
        }),
      ),
    );
    const found = (page.Contents ?? []).map((entry) => ({
      key: (entry.Key ?? '').slice(this.#prefix.length),
      bytes: entry.Size ?? 0,
      etag: unquoted(entry.ETag),
      modified: entry.LastModified ?? new Date(0),
    }));
    const last = found.at(-1);
    return {
      // Keys that end in "/" are the folder marks that S3 consoles make, not objects of ours.
      objects: found.filter(({ key }) => key !== '' && !key.endsWith('/')),
      next_cursor: page.IsTruncated === true && last !== undefined ? encodeCursor(last.key) : null,
    };
  }

  async delete(key: string): Promise<void> {
    const { key: full } = this.#object(key);
    try {
      await this.#call(full, () => this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: full })));
    } catch (error) {
      if (!(error instanceof AmalgamError && error.code === 'not_found')) throw error;
    }
  }

  async deletePrefix(prefix: string): Promise<number> {
    const folder = checkFolder(prefix);
    if (folder === '') throw wholeStore();
    let deleted = 0;
    for (let cursor: string | null = null; ; ) {
      const page: ObjectPage = await this.list(folder, cursor === null ? {} : { cursor });
      if (page.objects.length > 0) await this.#deleteAll(page.objects.map(({ key }) => key));
      deleted += page.objects.length;
      cursor = page.next_cursor;
      if (cursor === null) return deleted;
    }
  }

  async signedGetUrl(key: string, options: SignedGetOptions): Promise<string> {
    const object = this.#object(key);
    const { filename } = options;
    const command = new GetObjectCommand({
      Bucket: this.#bucket,
      Key: object.key,
      ...(filename === undefined ? {} : { ResponseContentDisposition: attachment(filename) }),
    });
    const expiresIn = checkExpires(options.expiresSeconds);
    return this.#call(object.key, () => getSignedUrl(this.#signer, command, { expiresIn }));
  }

  async signedPutUrl(key: string, options: SignedPutOptions): Promise<string> {
    checkRange(key, 0, options.bytes);
    const object = this.#object(key);
    const command = new PutObjectCommand({ Bucket: this.#bucket, Key: object.key, ContentLength: options.bytes });
    const expiresIn = checkExpires(options.expiresSeconds);
    return this.#call(object.key, () => getSignedUrl(this.#signer, command, { expiresIn }));
  }

  async beginParts(key: string): Promise<PartUpload> {
    const object = this.#object(key);
    const id = (await findMultipart(object)) ?? (await createMultipart(object));
    return new S3PartUpload(object, this.#signer, id);
  }

  async findParts(key: string): Promise<PartUpload | null> {
    const object = this.#object(key);
    const id = await findMultipart(object);
    return id === null ? null : new S3PartUpload(object, this.#signer, id);
  }

  localPath(key: string): null {
    checkKey(key);
    return null;
  }

  async abortStaleUploads(olderThanMs: number): Promise<number> {
    const limit = Date.now() - olderThanMs;
    let aborted = 0;
    for (let marker: { KeyMarker?: string; UploadIdMarker?: string } | null = {}; marker !== null; ) {
      const at: { KeyMarker?: string; UploadIdMarker?: string } = marker;
      const page = await this.#call(this.#prefix, () =>
        this.#client.send(new ListMultipartUploadsCommand({ Bucket: this.#bucket, Prefix: this.#prefix, ...at })),
      );
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key === undefined || UploadId === undefined || (Initiated?.getTime() ?? 0) > limit) continue;
        if (await this.#abort(Key, UploadId)) aborted++;
      }
      marker =
        page.IsTruncated === true ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker } : null;
    }
    return aborted;
  }

  async ping(): Promise<void> {
    try {
      await this.#client.send(new HeadBucketCommand({ Bucket: this.#bucket }));
    } catch (error) {
      // HEAD has no body, so the server cannot say which thing is missing.
      const missing = isNotFound(error) ? Object.assign(new Error(), { name: 'NoSuchBucket' }) : error;
      throw s3Error(missing, { bucket: this.#bucket, key: '' });
    }
  }

  async close(): Promise<void> {
    this.#client.destroy();
    this.#signer.destroy();
  }

  #object(key: string): S3Object {
    return { client: this.#client, bucket: this.#bucket, key: this.#prefix + checkKey(key), name: key };
  }

  #upload(key: string, options: PutFileOptions): Upload {
    const { client, bucket, key: full } = this.#object(key);
    return {
      client,
      bucket,
      key: full,
      name: `s3://${bucket}/${full}`,
      ifAbsent: options.ifAbsent === true,
      contentType: options.contentType,
      signal: options.signal,
      onProgress: options.onProgress?.bind(options),
    };
  }

  async #call<T>(key: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw s3Error(error, { bucket: this.#bucket, key });
    }
  }

  async #deleteAll(keys: string[]): Promise<void> {
    const Objects = keys.map((key) => ({ Key: this.#prefix + key }));
    const { Errors = [] } = await this.#call(Objects[0]?.Key ?? '', () =>
      this.#client.send(new DeleteObjectsCommand({ Bucket: this.#bucket, Delete: { Objects, Quiet: true } })),
    );
    const failed = Errors.find(({ Code }) => Code !== 'NoSuchKey');
    if (failed !== undefined) {
      const detail = `s3://${this.#bucket}/${failed.Key ?? ''}: the object store did not delete it (${failed.Code ?? '?'})`;
      throw new AmalgamError('storage_error', detail);
    }
  }

  async #abort(key: string, uploadId: string): Promise<boolean> {
    try {
      await this.#client.send(new AbortMultipartUploadCommand({ Bucket: this.#bucket, Key: key, UploadId: uploadId }));
      return true;
    } catch (error) {
      // It was completed or aborted since it was listed.
      if (isNotFound(error)) return false;
      throw s3Error(error, { bucket: this.#bucket, key });
    }
  }
}

async function* chain<T>(first: T[], rest: AsyncIterable<T>): AsyncGenerator<T> {
  yield* first;
  yield* rest;
}

/** Content-Disposition with the name in UTF-8 (RFC 6266), and in ASCII for what does not know that. */
function attachment(filename: string): string {
  const ascii = filename.replace(/[^\x20-\x7e]|["\\%]/g, '_');
  const utf8 = encodeURIComponent(filename).replace(/['()*]/g, (char) => `%${char.charCodeAt(0).toString(16)}`);
  return `attachment; filename="${ascii}"; filename*=UTF-8''${utf8}`;
}
