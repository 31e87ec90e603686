export {
  type AssetQuery,
  type Client,
  createClient,
  type Download,
  type MergeQuery,
  type PageQuery,
  type WaitOptions,
} from './client.js';
export type { DownloadOptions } from './download.js';
export type { EventOptions } from './events.js';
export type { ProjectEventOptions, ProjectEventQuery } from './project-events.js';
export { type Frame, readFrames } from './sse.js';
export { ApiError, type ClientOptions } from './transport.js';
export type { UploadFile, UploadOptions } from './upload.js';
export { uploadFiles } from './upload-files.js';
export type { DeliveryQuery } from './webhooks.js';
