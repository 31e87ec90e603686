export * from './cache.js';
export * from './file-store.js';
export {
  type FolderFile,
  type FolderSource,
  type FolderView,
  MAX_FOLDER_FILES,
  type StoreFolderOptions,
  storeFolder,
} from './folder.js';
export { HUB_ENDPOINT, type HubConnection } from './hub-client.js';
export { type HubReference, hubRepository, hubUri, readHubName } from './hub-reference.js';
export { checkFolder, checkKey } from './keys.js';
export * from './open.js';
export * from './port.js';
export { type AllowedRoots, type ParsedUri, parseAllowedRoots, parseUri } from './roots.js';
export { createBucketIfMissing, type S3Connection, type S3Options } from './s3-client.js';
export * from './s3-store.js';
export { SIGNED_PATH, type SignedRequest, verifySignedUrl } from './signed-url.js';
export * from './uri.js';
