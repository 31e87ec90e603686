export { queueName } from './lanes.js';
export { openQueue } from './open.js';
export type {
  ConsumeOptions,
  Consumer,
  JobData,
  JobHandler,
  JobQueue,
  LaneCounts,
  NewJob,
  QueueConfig,
  QueueJob,
  QueueLog,
} from './port.js';
export { migratePostgresQueue, QUEUE_SCHEMA } from './postgres.js';
