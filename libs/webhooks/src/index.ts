export { notPublic } from './addresses.js';
export { type DeliverOptions, type DeliveryOutcome, deliver } from './deliver.js';
export {
  checkUrl,
  guardedAgent,
  type Lookup,
  PUBLIC_ONLY,
  type ResolvedAddress,
  type WebhookPolicy,
} from './guard.js';
export { MAX_RETRY_AFTER_MS, nextAttempt, parseRetryAfter, STANDARD_SCHEDULE } from './schedule.js';
export { checkSecret, newSecret, type SignedHeaders, signedHeaders } from './sign.js';
