import type { Readable } from 'node:stream';

/** What a store knows of one object. `etag` changes whenever the bytes do; it is not quoted and says nothing else. */
export interface ObjectInfo {
  key: string;
  bytes: number;
  etag: string;
  modified: Date;
}

export interface ReadOptions {
  /** The etag that the object must still have. */
  etag?: string;
}

export interface StreamOptions {
  /** First byte; default 0. */
  offset?: number;
  /** Bytes; default: to the end. */
  length?: number;
  signal?: AbortSignal;
}

export interface PutOptions {
  /** Write only when there is no such object; atomic against concurrent writers. */
  ifAbsent?: boolean;
  /** MIME type that a signed GET answers with; the file driver leaves it to who serves the file. */
  contentType?: string;
}

export interface PutFileOptions extends PutOptions {
  /** The local file is handed over: it is moved where that is possible, and gone after success in any case. */
  consume?: boolean;
  signal?: AbortSignal;
  /** Bytes written so far (cumulative). */
  onProgress?(bytes: number): void;
}

export interface PutStreamOptions extends PutOptions {
  /** The most bytes to take; a longer stream is refused with `payload_too_large` and leaves nothing. */
  maxBytes?: number;
  signal?: AbortSignal;
}

export interface TransferOptions {
  signal?: AbortSignal;
  /** Bytes transferred so far (cumulative). */
  onProgress?(bytes: number): void;
}

export interface DownloadOptions extends TransferOptions, ReadOptions {}

export interface ListOptions {
  /** `next_cursor` of the page before. */
  cursor?: string;
  /** Objects at most, 1 to 1000; default 1000. A page can hold fewer and still have a next one. */
  limit?: number;
}

export interface ObjectPage {
  objects: ObjectInfo[];
  next_cursor: string | null;
}

export interface SignedGetOptions {
  /** Seconds from now, 1 to 604800 (S3's limit, a week). */
  expiresSeconds: number;
  /** Name that a browser saves the download under. */
  filename?: string;
}

export interface SignedPutOptions {
  /** Seconds from now, 1 to 604800. */
  expiresSeconds: number;
  /** The exact size of the body; another Content-Length does not match the signature. */
  bytes: number;
}

export interface SignedPartOptions extends SignedPutOptions {
  /** Of the part, 1 to 10 000. */
  number: number;
}

/** A part that has arrived whole. */
export interface PartInfo {
  number: number;
  bytes: number;
}

/**
 * An object that arrives in parts: in any order, each as often as its sender likes. Readers see nothing of it before it is
 * complete. All parts but the last have at least 5 MiB, which is S3's rule.
 */
export interface PartUpload {
  /** What has arrived, by number. */
  list(): Promise<PartInfo[]>;

  /** A URL that anybody can PUT a part of `bytes` bytes to until it expires. */
  signedUrl(options: SignedPartOptions): Promise<string>;

  /** Takes a part of exactly `bytes` bytes. @throws not_found when the upload has ended; payload_too_large; storage_error */
  put(number: number, stream: Readable, bytes: number): Promise<void>;

  /**
   * Makes the object of parts 1 to `count`.
   * @throws not_found when the upload has ended; object_exists when another call has made it; upload_incomplete without all parts
   */
  complete(count: number): Promise<ObjectInfo>;

  /** Ends it, and removes what has arrived; none is fine. */
  abort(): Promise<void>;
}

/**
 * Named, immutable-by-convention byte strings. Keys are `/`-separated (rules: `checkKey`); a key can be an object or
 * a folder of others, not both. Half-written objects are never visible under their key.
 *
 * Every method raises `invalid_request` for a bad key, `storage_full` when there is no space, `storage_error` when the
 * store fails; a call that is aborted rejects with the signal's reason and leaves nothing visible.
 */
export interface ObjectStore {
  readonly kind: 'file' | 's3';

  /** Null when there is no such object. */
  head(key: string): Promise<ObjectInfo | null>;

  /**
   * Exactly `length` bytes from `offset`, in an ArrayBuffer of their own: any typed array may be laid over it.
   * @throws not_found; checkpoint_changed when the etag differs; storage_error, also when the range ends past the object
   */
  read(key: string, offset: number, length: number, options?: ReadOptions): Promise<Uint8Array>;

  /**
   * The bytes as a stream; it fails when the store does, it never ends early.
   * @throws not_found; storage_error, also when the range ends past the object
   */
  stream(key: string, options?: StreamOptions): Promise<Readable>;

  /** @throws object_exists with `ifAbsent` */
  put(key: string, body: Uint8Array | string, options?: PutOptions): Promise<ObjectInfo>;

  /** @throws object_exists with `ifAbsent`; not_found when the local file is missing */
  putFile(key: string, localPath: string, options?: PutFileOptions): Promise<ObjectInfo>;

  /** @throws object_exists with `ifAbsent`; payload_too_large past `maxBytes` */
  putStream(key: string, stream: Readable, options?: PutStreamOptions): Promise<ObjectInfo>;

  /**
   * Copies an object into a local file, atomically (temporary name beside it, then rename); makes missing folders.
   * @throws not_found; checkpoint_changed when the object has another etag, or changes underway
   */
  download(key: string, localPath: string, options?: DownloadOptions): Promise<void>;

  /** Objects whose key begins with `prefix` (any string, '' for all), by code point (the order of UTF-8 bytes). */
  list(prefix: string, options?: ListOptions): Promise<ObjectPage>;

  /** Deletes an object; none is fine. */
  delete(key: string): Promise<void>;

  /**
   * Deletes everything in the folder `prefix` (a final `/` is implied, so `a` leaves `ab/c` alone). Returns how many.
   * @throws invalid_request for the empty prefix
   */
  deletePrefix(prefix: string): Promise<number>;

  /** A URL that anybody can GET until it expires. */
  signedGetUrl(key: string, options: SignedGetOptions): Promise<string>;

  /** A URL that anybody can PUT a body of `bytes` bytes to until it expires. */
  signedPutUrl(key: string, options: SignedPutOptions): Promise<string>;

  /** The upload of an object in parts that is under way; one is begun where there is none. */
  beginParts(key: string): Promise<PartUpload>;

  /** The upload of an object in parts that is under way; null when there is none. */
  findParts(key: string): Promise<PartUpload | null>;

  /** Where the object lies on this machine (it need not exist); null when the store is remote. */
  localPath(key: string): string | null;

  /** Clears away what writers that died left behind and nobody touched for `olderThanMs`. Returns how many. */
  abortStaleUploads(olderThanMs: number): Promise<number>;

  /** @throws storage_error when the store cannot be used right now */
  ping(): Promise<void>;

  close(): Promise<void>;
}
