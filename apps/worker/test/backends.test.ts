import type { Recipe } from '@amalgam/contracts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { startRedis, type TestRedis } from '../../../test/support/redis.js';
import { NO_S3, s3Env, startS3 } from '../../../test/support/s3.js';
import { type Env, Stack, ZOO } from './stack.js';

/** The same merge on other servers: its bytes must not depend on them. */
const s3 = await startS3();
const redis = await startRedis();

let server: TestDatabase;
let wanted: Record<string, string>;
beforeAll(async () => {
  server = await startTestDatabase();
  wanted = await mergeOn(server.url, {});
});
afterAll(async () => {
  await s3?.stop();
  await redis?.stop();
  await server?.stop();
});

async function mergeOn(databaseUrl: string, env: Env): Promise<Record<string, string>> {
  const stack = await Stack.open(databaseUrl, env);
  try {
    const worker = await stack.startWorker();
    const base = await stack.upload('base', { 'model.safetensors': `${ZOO}base.safetensors` });
    const models = [];
    for (const name of ['digits', 'blobs']) {
      models.push({ model: (await stack.upload(name, { 'model.safetensors': `${ZOO}${name}.safetensors` })).id });
    }
    const recipe: Recipe = { method: 'ties', base: base.id, models, shard_bytes: 200_000 };
    const id = await stack.createMerge(recipe);
    expect(await stack.untilFinal(id)).toMatchObject({ state: 'succeeded' });
    const weights = await stack.weightDigests(id);

    // A second one, canceled or not, leaves no more than it should.
    const canceled = await stack.createMerge(recipe);
    await stack.until(canceled, ({ state }) => state !== 'queued');
    await stack.parts.database.control.requestCancel(stack.projectId, canceled).catch(() => {});
    const merge = await stack.untilFinal(canceled);
    if (merge.state === 'canceled') expect(await stack.keys(`results/${canceled}/`)).toEqual([]);
    await worker.close();
    return weights;
  } finally {
    for (const prefix of ['checkpoints', 'results']) await stack.parts.store.deletePrefix(prefix);
    await stack.close();
  }
}

describe.skipIf(s3 === null)(s3 === null ? `S3 (SKIPPED: ${NO_S3})` : 'S3', () => {
  it('holds the same result', async () => {
    const database = await startTestDatabase();
    expect(await mergeOn(database.url, s3Env(s3!))).toEqual(wanted);
    await database.stop();
  });
});

describe.skipIf(redis === null)(redis === null ? 'Redis (SKIPPED: no redis-server)' : 'Redis', () => {
  it('carries the same merge', async () => {
    const database = await startTestDatabase();
    expect(await mergeOn(database.url, { REDIS_URL: (redis as TestRedis).url })).toEqual(wanted);
    await database.stop();
  });
});
