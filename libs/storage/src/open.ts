import { FileStore, type FileStoreOptions } from './file-store.js';
import type { ObjectStore } from './port.js';
import type { S3Options } from './s3-client.js';
import { S3Store } from './s3-store.js';

/** Which object store, and how to reach it. */
export type StoreConfig = ({ kind: 'file' } & FileStoreOptions) | ({ kind: 's3' } & S3Options);

/** Opens the configured store; nothing is contacted before the first call (`ping` checks it). */
export function openStore(config: StoreConfig): ObjectStore {
  return config.kind === 'file' ? new FileStore(config) : new S3Store(config);
}
