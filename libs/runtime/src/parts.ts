import { AmalgamError } from '@amalgam/contracts';
import { connect, type Database, migrate } from '@amalgam/database';
import { type JobQueue, openQueue } from '@amalgam/queue';
import { type ObjectStore, openStore, S3Buckets } from '@amalgam/storage';
import type { Logger } from '@amalgam/telemetry';
import { type Config, queueConfig, storeConfig } from './config.js';
import { DescriptionCache } from './description-cache.js';

/** The servers that api and worker stand on, opened as the settings say. */
export interface Parts {
  database: Database;
  queue: JobQueue;
  store: ObjectStore;
  /** For s3:// URIs of registered checkpoints; undefined without S3. */
  buckets: S3Buckets | undefined;
  /** Of this process. */
  descriptions: DescriptionCache;
  close(): Promise<void>;
}

/**
 * Migrates the database and opens all parts.
 *
 * @throws AmalgamError `unavailable` naming the server that does not answer.
 */
export async function openParts(config: Config, log: Logger): Promise<Parts> {
  const url = config.databaseUrl;
  if (url === null) {
    throw new AmalgamError('unavailable', 'DATABASE_URL is not set; `amalgam serve` starts a database of its own');
  }
  const opened: { close(): Promise<void> }[] = [];
  const keep = <T extends { close(): Promise<void> }>(part: T): T => {
    opened.unshift(part);
    return part;
  };
  const close = async () => {
    for (const part of opened) await part.close();
  };
  try {
    await migrate({ url });
    const onError = (error: Error) => log.warn({ err: error }, 'a database connection was lost');
    const database = keep(await connect({ url, secretKey: config.secretKey, onError }));
    const queue = keep(await openQueue(queueConfig(config, url), { log }));
    const store = keep(openStore(storeConfig(config)));
    await store.ping();
    const buckets = config.s3 === null ? undefined : keep(new S3Buckets(config.s3));
    return { database, queue, store, buckets, descriptions: new DescriptionCache(), close };
  } catch (error) {
    await close();
    throw error;
  }
}
