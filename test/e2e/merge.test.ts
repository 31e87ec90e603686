import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Client, createClient } from '@amalgam/client';
import type { Recipe } from '@amalgam/contracts';
import { executeMerge, planMerge } from '@amalgam/engine';
import { describeCheckpoint, localFileFolder } from '@amalgam/tensors';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startRedis } from '../support/redis.js';
import { NO_S3, startS3 } from '../support/s3.js';
import { startTestService, type TestService } from '../support/service.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ZOO = join(ROOT, 'examples/zoo/vit6');
const CLI = join(ROOT, 'apps/cli/dist/main.js');
const TASKS = ['digits', 'shapes', 'segments', 'location', 'quadpair', 'blobs'];
const PARAMETERS = { density: 0.2, lambda: 0.3, combine: 'sum' };
const dir = mkdtempSync(join(tmpdir(), 'amalgam-e2e-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

/** What the command line makes of the recipe; everything else must make the same bytes. */
function throughCli(threads: number): string {
  const out = join(dir, `cli-${threads}`);
  const recipe = {
    method: 'ties',
    base: join(ZOO, 'base.safetensors'),
    models: TASKS.map((task) => ({ model: join(ZOO, `${task}.safetensors`) })),
    parameters: PARAMETERS,
  };
  writeFileSync(join(dir, 'recipe.json'), JSON.stringify(recipe));
  execFileSync(process.execPath, [
    CLI,
    'merge',
    join(dir, 'recipe.json'),
    '--out',
    out,
    '--threads',
    `${threads}`,
    '--json',
  ]);
  return sha256(readFileSync(join(out, 'model.safetensors')));
}

async function throughEngine(chunkElements: number): Promise<string> {
  const paths = ['base', ...TASKS].map((name) => join(ZOO, `${name}.safetensors`));
  const inputs = await Promise.all(
    paths.map(async (path) => ({
      reference: path,
      identity: path,
      name: path,
      checkpoint: await describeCheckpoint(localFileFolder(path)),
    })),
  );
  const [base, ...models] = inputs;
  const recipe: Recipe = {
    method: 'ties',
    base: 'base',
    models: TASKS.map((model) => ({ model })),
    parameters: PARAMETERS,
  };
  const named = models.map((model, i) => ({ ...model, name: TASKS[i]! }));
  const plan = planMerge(recipe, { base: base!, models: named }, { chunkElements, threads: 2 });
  const result = await executeMerge(plan, { pathOf: (i) => paths[i]!, outDir: mkdtempSync(join(dir, 'engine-')) });
  return result.files.find((file) => file.path === 'model.safetensors')!.sha256!;
}

async function throughApi(service: TestService): Promise<{ digest: string; client: Client; mergeId: string }> {
  const client = createClient({ baseUrl: service.url, apiKey: service.apiKey });
  const ids = new Map<string, string>();
  for (const name of ['base', ...TASKS]) {
    const files = [{ path: 'model.safetensors', file: join(ZOO, `${name}.safetensors`) }];
    ids.set(name, (await client.checkpoints.upload({ name, files })).id);
  }
  const merge = await client.merges.create({
    recipe: {
      method: 'ties',
      base: ids.get('base')!,
      models: TASKS.map((task) => ({ model: ids.get(task)! })),
      parameters: PARAMETERS,
    },
  });
  const done = await client.merges.waitFor(merge.id, { timeoutMs: 50_000 });
  expect(done.error).toBeNull();
  expect(done.state).toBe('succeeded');
  const bytes = await client.merges.download(merge.id, 'model.safetensors');
  expect(done.result!.files.find((file) => file.path === 'model.safetensors')!.sha256).toBe(sha256(bytes));
  return { digest: sha256(bytes), client, mergeId: merge.id };
}

const expected = throughCli(1);

test('the command line with 2 threads, and tiny chunks, give the same bytes', async () => {
  expect(throughCli(2)).toBe(expected);
  expect(await throughEngine(2048)).toBe(expected);
});

describe('the service on embedded PostgreSQL and files', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startTestService({}, { embedded: true });
  });
  afterAll(() => service.stop());

  test('gives the same bytes; the result can be merged again, and its lineage is known', async () => {
    const { digest, client, mergeId } = await throughApi(service);
    expect(digest).toBe(expected);
    const done = await client.merges.get(mergeId);
    const result = await client.checkpoints.get(done.result!.checkpoint_id);
    expect(result).toMatchObject({ source: 'merge', merge_id: mergeId, state: 'ready', tensors: 86 });
    const base = (await client.merges.get(mergeId)).recipe.base!;
    const again = await client.merges.create({
      recipe: { method: 'linear', models: [{ model: result.id }, { model: base }] },
    });
    expect((await client.merges.waitFor(again.id, { timeoutMs: 50_000 })).state).toBe('succeeded');
    const report = await client.merges.report(mergeId);
    expect(report.inputs[0]!.files[0]!.sha256).toBe(sha256(readFileSync(join(ZOO, 'base.safetensors'))));
  });

  test('a worker killed at any time costs a retry and nothing else', async () => {
    for (const pid of service.workers()) process.kill(pid, 'SIGKILL');
    const { digest } = await throughApi(service);
    expect(digest).toBe(expected);
  });
});

const redis = await startRedis();
const s3 = await startS3();
const missing = [redis === null ? 'redis-server' : [], s3 === null ? 'an S3 server' : []].flat();
if (missing.length > 0) {
  console.warn(`SKIPPED: the service on Redis and S3 — without ${missing.join(' and ')}. ${s3 === null ? NO_S3 : ''}`);
  if (process.env['AMALGAM_REQUIRE_REDIS'] === '1' || process.env['AMALGAM_REQUIRE_S3'] === '1') {
    throw new Error(`this suite must run here, and needs ${missing.join(' and ')}`);
  }
}
describe.skipIf(missing.length > 0)('the service on Redis and S3 (SKIPPED without both)', () => {
  let service: TestService;
  beforeAll(async () => {
    service = await startTestService({
      REDIS_URL: redis!.url,
      S3_ENDPOINT: s3!.endpoint,
      S3_BUCKET: s3!.bucket,
      AWS_REGION: s3!.region,
      AWS_ACCESS_KEY_ID: s3!.accessKeyId,
      AWS_SECRET_ACCESS_KEY: s3!.secretAccessKey,
    });
  });
  afterAll(async () => {
    await service.stop();
    await redis!.stop();
    await s3!.stop();
  });

  test('gives the same bytes', async () => {
    expect((await throughApi(service)).digest).toBe(expected);
  });
});
