import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Recipe } from '@amalgam/contracts';
import { planMerge } from '@amalgam/engine';
import { findInputs } from '@amalgam/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { planDigest } from '../src/stages/plan-digest.js';
import { registerModels } from './models.js';
import { Stack, ZOO } from './stack.js';

let server: TestDatabase;
let stack: Stack;
beforeAll(async () => {
  server = await startTestDatabase();
  stack = await Stack.open(server.url);
  await stack.startWorker();
});
afterAll(async () => {
  await stack?.close();
  await server?.stop();
});

const TASKS = ['digits', 'blobs', 'shapes'];

async function uploadZoo(): Promise<Recipe> {
  const config = join(stack.home, 'config.json');
  await writeFile(config, JSON.stringify({ model_type: 'vit', torch_dtype: 'float64' }));
  const base = await stack.upload('base', { 'model.safetensors': `${ZOO}base.safetensors`, 'config.json': config });
  const models = [];
  for (const task of TASKS) {
    models.push({ model: (await stack.upload(task, { 'model.safetensors': `${ZOO}${task}.safetensors` })).id });
  }
  return { method: 'ties', base: base.id, models };
}

describe('a merge of uploaded checkpoints', () => {
  it('leaves the result, its files, report and events', async () => {
    const id = await stack.createMerge(await uploadZoo(), { name: 'three tasks', metadata: { run: '7' } });
    const merge = await stack.untilFinal(id);
    expect(merge).toMatchObject({ state: 'succeeded', error: null, attempts: [{ number: 1, state: 'succeeded' }] });
    expect(merge.progress.bytes_done).toBe(merge.progress.bytes_total);
    const paths = merge.result?.files.map(({ path }) => path).sort();
    expect(paths).toEqual([
      'README.md',
      'config.json',
      'heads/blobs.safetensors',
      'heads/digits.safetensors',
      'heads/shapes.safetensors',
      'model.safetensors',
      'recipe.json',
      'report.json',
    ]);

    const digests = await stack.resultDigests(id);
    for (const { path, sha256 } of merge.result?.files ?? []) expect([path, digests.get(path)]).toEqual([path, sha256]);
    const row = await stack.parts.database.checkpoints.get(stack.projectId, merge.result?.checkpoint_id ?? '');
    expect(row).toMatchObject({ name: 'three tasks', state: 'ready', source: 'merge', metadata: { run: '7' } });
    expect(row?.storePrefix).toMatch(new RegExp(`^results/${id}/[0-9a-f]{64}$`));
    expect(row?.files.every(({ etag }) => etag !== null)).toBe(true);
    const inventory = await stack.parts.database.checkpoints.inventory(stack.projectId, row?.id ?? '');
    expect(inventory?.tensors).toHaveLength(row?.tensors ?? 0);

    const report = await stack.report(id);
    const lying = await readFile(stack.parts.store.localPath(`${row?.storePrefix}/report.json`) ?? '', 'utf8');
    expect(JSON.parse(lying)).toEqual(report);
    const given = createHash('sha256')
      .update(await readFile(`${ZOO}base.safetensors`))
      .digest('hex');
    expect(report.inputs[0]).toMatchObject({ role: 'base', files: [{ path: 'model.safetensors', sha256: given }] });
    expect(report.inputs[1]?.trimmed).toBeCloseTo(0.8, 2);
    expect(Object.keys(report.seconds)).toEqual(expect.arrayContaining(['planning', 'merging', 'total']));

    const events = await stack.events(id);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1));
    expect(events.at(0)?.type).toBe('merge.queued');
    expect(events.at(1)?.type).toBe('merge.started');
    expect(events.at(-1)?.type).toBe('merge.succeeded');
    const stages = events.filter(({ type }) => type === 'merge.progress').map(({ data }) => data['stage']);
    expect([...new Set(stages)]).toEqual(['planning', 'merging', 'publishing']);
  });

  it('gives a result that can be merged again', async () => {
    const recipe = await uploadZoo();
    const first = await stack.untilFinal(await stack.createMerge(recipe));
    const again = await stack.createMerge({
      method: 'linear',
      models: [{ model: recipe.base! }, { model: first.result?.checkpoint_id ?? '' }],
    });
    expect((await stack.untilFinal(again)).state).toBe('succeeded');
  });
});

describe('registered checkpoints', () => {
  it('get their digests from the first merge that reads them', async () => {
    const base = await stack.register('base', `${ZOO}base.safetensors`);
    const digits = await stack.register('digits', `${ZOO}digits.safetensors`);
    expect(digits.files[0]?.sha256).toBeNull();
    const id = await stack.createMerge({ method: 'task_arithmetic', base: base.id, models: [{ model: digits.id }] });
    expect((await stack.untilFinal(id)).state).toBe('succeeded');
    const wanted = createHash('sha256')
      .update(await readFile(`${ZOO}digits.safetensors`))
      .digest('hex');
    const row = await stack.parts.database.checkpoints.get(stack.projectId, digits.id);
    expect(row?.files).toMatchObject([{ path: 'digits.safetensors', sha256: wanted }]);
    expect((await stack.report(id)).inputs[1]?.files[0]?.sha256).toBe(wanted);
  });

  it('that were altered since are refused, by name', async () => {
    const folder = join(stack.home, 'models', 'altered');
    await mkdir(folder, { recursive: true });
    const path = join(folder, 'model.safetensors');
    const bytes = await readFile(`${ZOO}digits.safetensors`);
    await writeFile(path, bytes);
    const base = await stack.register('base', `${ZOO}base.safetensors`);
    const row = await stack.register('tampered', folder);
    bytes[bytes.length - 1]! ^= 1;
    await writeFile(path, bytes);
    const recipe: Recipe = { method: 'linear', models: [{ model: base.id }, { model: row.id }] };
    const merge = await stack.untilFinal(await stack.createMerge(recipe));
    expect(merge).toMatchObject({ state: 'failed', error: { code: 'checkpoint_changed' }, result: null });
    expect(merge.error?.detail).toContain('tampered');
    expect(merge.error?.detail).toContain('model.safetensors');
    expect(await stack.keys(`results/${merge.id}/`)).toEqual([]);
  });

  it('whose config was altered are refused too: plans follow it', async () => {
    const folder = join(stack.home, 'models', 'reconfigured');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'model.safetensors'), await readFile(`${ZOO}digits.safetensors`));
    await writeFile(join(folder, 'config.json'), '{"tie_word_embeddings": true}');
    const base = await stack.register('base', `${ZOO}base.safetensors`);
    const row = await stack.register('reconfigured', folder);
    await writeFile(join(folder, 'config.json'), '{"tie_word_embeddings": false}');
    const recipe: Recipe = { method: 'linear', models: [{ model: base.id }, { model: row.id }] };
    const merge = await stack.untilFinal(await stack.createMerge(recipe));
    expect(merge).toMatchObject({ state: 'failed', error: { code: 'checkpoint_changed' }, result: null });
    expect(merge.error?.detail).toContain('config.json has 30 bytes, not 29');
  });
});

describe('small files of registered checkpoints', () => {
  it('that were altered since are refused, although only the result takes them along', async () => {
    const folder = join(stack.home, 'models', 'retokenised');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'model.safetensors'), await readFile(`${ZOO}digits.safetensors`));
    await writeFile(join(folder, 'tokenizer.json'), '{"model": 1}');
    const row = await stack.register('retokenised', folder);
    await writeFile(join(folder, 'tokenizer.json'), '{"model": 2}');
    const recipe: Recipe = { method: 'linear', models: [{ model: row.id }] };
    const merge = await stack.untilFinal(await stack.createMerge(recipe));
    expect(merge).toMatchObject({ state: 'failed', error: { code: 'checkpoint_changed' }, result: null });
    expect(merge.error?.detail).toContain('tokenizer.json was written again since it was registered');
  });
});

describe('the digest of a plan', () => {
  it('follows weights and configs of the inputs, and no other file', async () => {
    const folder = join(stack.home, 'models', 'digested');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'model.safetensors'), await readFile(`${ZOO}digits.safetensors`));
    for (const path of ['config.json', 'notes.json']) await writeFile(join(folder, path), '{}');
    const { id } = await stack.register('digested', folder);
    const recipe: Recipe = { method: 'linear', models: [{ model: id }] };
    const { base, models, rows } = await findInputs(stack.parts, stack.projectId, recipe);
    const plan = planMerge(recipe, { base, models });
    /** As it is when one file was written again. */
    const digestWith = (changed: string) => {
      const others = rows.map((row) => ({
        ...row,
        files: row.files.map((file) => (file.path === changed ? { ...file, etag: 'another' } : file)),
      }));
      return planDigest(plan, { rows: others, tasks: [], provider: null, version: '1' });
    };
    const before = digestWith('');
    expect(digestWith('notes.json')).toBe(before);
    expect(digestWith('config.json')).not.toBe(before);
    expect(digestWith('model.safetensors')).not.toBe(before);
  });
});

describe('a sharded merge', () => {
  it('that is retried goes on with the shards it has', async () => {
    const recipe = await registerModels(stack, { megabytes: 4, tensors: 6 });
    const undisturbed = await stack.createMerge(recipe);
    expect((await stack.untilFinal(undisturbed)).state).toBe('succeeded');
    const wanted = await stack.weightDigests(undisturbed);
    expect(Object.keys(wanted)).toHaveLength(6);

    // As if a first attempt had not noted its last shard, and two objects had vanished since.
    const id = await stack.createMerge(recipe);
    await stack.untilFinal(id);
    const { database, store } = stack.parts;
    const before = await database.prisma.mergeShard.findMany({ where: { mergeId: id }, orderBy: { index: 'asc' } });
    expect(before).toHaveLength(6);
    const etags = new Map<string, string>();
    for (const { key } of before) etags.set(key, (await store.head(key))?.etag ?? '');
    await store.delete(before[3]!.key);
    await store.delete(before[4]!.key);
    await database.prisma.mergeShard.deleteMany({ where: { mergeId: id, index: { in: [4, 5] } } });
    await database.prisma.merge.update({ where: { id }, data: { state: 'failed', resultCheckpointId: null } });
    const report = await stack.report(id);
    await database.control.retry(stack.projectId, id);

    const merge = await stack.untilFinal(id);
    expect(merge).toMatchObject({ state: 'succeeded', attempts: [{ number: 1 }, { number: 2, state: 'succeeded' }] });
    expect(await stack.weightDigests(id)).toEqual(wanted);
    const written = [];
    for (const { key, index } of before) if ((await store.head(key))?.etag !== etags.get(key)) written.push(index);
    // The last one's object lay there without a row: equal bytes are taken as they are.
    expect(written).toEqual([3, 4]);
    const second = await stack.report(id);
    expect(second.tensors).toEqual(report.tensors);
  });

  it('does not take other bytes for its own', async () => {
    const recipe = await registerModels(stack, { megabytes: 1, tensors: 2 });
    const id = await stack.createMerge(recipe);
    const { result } = await stack.untilFinal(id);
    const row = await stack.parts.database.checkpoints.get(stack.projectId, result?.checkpoint_id ?? '');
    const { database, store } = stack.parts;
    const key = `${row?.storePrefix}/model-00001-of-00002.safetensors`;
    const bytes = await store.read(key, 0, (await store.head(key))?.bytes ?? 0);
    bytes[bytes.length - 1]! ^= 1;
    await store.put(key, bytes);
    await database.shards.removeAll(id);
    await database.prisma.merge.update({ where: { id }, data: { state: 'failed', resultCheckpointId: null } });
    await database.control.retry(stack.projectId, id);
    expect(await stack.untilFinal(id)).toMatchObject({ state: 'failed', error: { code: 'object_exists' } });
    // Cleared away, so that another retry begins anew.
    expect(await stack.keys(`results/${id}/`)).toEqual([]);
    await database.control.retry(stack.projectId, id);
    expect((await stack.untilFinal(id)).state).toBe('succeeded');
  });
});
