export { type ConnectOptions, connect, Database } from './client.js';
export { CHANNELS, type Channel } from './context.js';
export { Vault } from './crypto.js';
export { type EmbeddedOptions, type EmbeddedPostgres, startEmbeddedPostgres } from './embedded.js';
export { newId } from './ids.js';
export type { Handler, Subscription } from './listen.js';
export { MIGRATIONS_DIR, type MigrateResult, migrate } from './migrate.js';
export { MAX_PAGE, type PageRequest } from './paging.js';
export type { ApiKeyRow, NewApiKey } from './repositories/api-keys.js';
export type {
  AssetContents,
  AssetFilter,
  AssetRepository,
  Contents,
  Described,
  NewRegistered,
  NewResult,
  NewUpload,
  StoredFile,
} from './repositories/assets.js';
export type { Claim, ClaimOptions, Lease, Outcome, ProgressUpdate } from './repositories/attempts.js';
export type {
  DeliveryAttempt,
  DeliveryFilter,
  Noted,
  OutgoingDelivery,
  SentRequest,
} from './repositories/deliveries.js';
export type { ProjectEventFilter, ProjectEvents } from './repositories/events.js';
export type { Begun, StoredResponse } from './repositories/idempotency.js';
export { DEFAULT_MAX_ATTEMPTS } from './repositories/lost.js';
export type { CreateOptions, MergeFilter, MergeInputRef, NewMerge } from './repositories/merges.js';
export type { DeliveryPayload, MergePayload, OutboxRow } from './repositories/outbox.js';
export type { Released, ResultOwner } from './repositories/reconciler.js';
export type { NewShard, Shard } from './repositories/shards.js';
export type { NewWebhookEndpoint, WebhookEndpointChange } from './repositories/webhook-endpoints.js';
export type { WorkerInfo } from './repositories/workers.js';
export {
  type AssetRow,
  type CheckpointRow,
  type DatasetDescription,
  type GraphDescription,
  toAssetResource,
  toCheckpointResource,
} from './resources/assets.js';
export {
  type DeliveryDetailsRow,
  type DeliveryRow,
  toDeliveryDetails,
  toDeliveryResource,
} from './resources/delivery.js';
export { type MergeRow, toMergeResource } from './resources/merge.js';
export { toWebhookEndpointResource, type WebhookEndpointRow } from './resources/webhook-endpoint.js';
