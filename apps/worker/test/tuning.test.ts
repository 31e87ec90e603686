import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import { type AssetFile, type AssetKind, Merge, type Recipe, Report, validate } from '@amalgam/contracts';
import { newId } from '@amalgam/database';
import { readModel, writeModel } from '@amalgam/onnx';
import { assetPrefix, describeAsset } from '@amalgam/runtime';
import { resolveUri, storeFolder } from '@amalgam/storage';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startTestDatabase, type TestDatabase } from '../../../test/support/postgres.js';
import { NO_S3, s3Env, startS3 } from '../../../test/support/s3.js';
import { type Env, Stack, ZOO } from './stack.js';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 }); // processes start slowly on a busy machine

const NAMES = ['digits', 'blobs'];

const s3 = await startS3();
let server: TestDatabase;
/** Graphs as exporters write those of more than 2 GB: `<name>.onnx` with `<name>.bin` beside it. */
let graphs: string;
beforeAll(async () => {
  server = await startTestDatabase();
  graphs = await mkdtemp(join(tmpdir(), 'amalgam-graphs-'));
  for (const name of NAMES) {
    const model = await readModel(join(ZOO, `${name}.onnx`));
    await writeModel(model, join(graphs, `${name}.onnx`), { externalData: { location: `${name}.bin` } });
  }
});
afterAll(async () => {
  await s3?.stop();
  await server?.stop();
  await rm(graphs, { recursive: true, force: true });
});

/** What uploading files and completing the upload come to. `files`: local ones by their path. */
async function upload(stack: Stack, kind: AssetKind, files: Record<string, string>): Promise<string> {
  const { database, store } = stack.parts;
  const id = newId(kind);
  const storePrefix = assetPrefix(kind, id);
  for (const [path, local] of Object.entries(files)) await store.putFile(`${storePrefix}/${path}`, local);
  const listed = Object.keys(files).map((path) => ({ path, bytes: 0 }));
  const expiresAt = new Date(Date.now() + 3_600_000);
  await database.assets(kind).createUpload(stack.projectId, { id, name: id, storePrefix, files: listed, expiresAt });
  const open = async () => storeFolder(store, storePrefix, id);
  await database.assets(kind).markReady(stack.projectId, id, await describeAsset(kind, { open, whole: true }));
  return id;
}

async function zooRecipe(
  stack: Stack,
  given: Pick<Recipe, 'method' | 'parameters'>,
  graph: (name: string) => Promise<string>,
  dataset: (name: string) => Promise<string>,
): Promise<Recipe> {
  const model = async (name: string) =>
    (await stack.upload(name, { 'model.safetensors': `${ZOO}${name}.safetensors` })).id;
  const tasks: NonNullable<Recipe['tasks']> = [];
  for (const name of NAMES) {
    const data = await dataset(`${name}.unlabeled`);
    const evaluation = await dataset(`${name}.labeled`);
    tasks.push({ name, model: await model(name), graph: await graph(name), data, evaluation });
  }
  return { ...given, base: await model('base'), models: tasks.map((task) => ({ model: task.model })), tasks };
}

const LEARNED = { method: 'adamerging', parameters: { steps: 3, sampling: 'sequential' } } as const;

/** Of recipe.json: the files that coefficients were learned from. */
type Learned = { task: string; graph: AssetFile[]; data: AssetFile[] }[];

/** A merge that learns, in a stack of its own, with the graphs in one file each or with their weights beside them. */
async function learnedOn(
  env: Env,
  weights: 'inside' | 'beside',
): Promise<{ merge: Merge; report: Report; tasks: Learned }> {
  const stack = await Stack.open(server.url, { AMALGAM_TUNING_THREADS: '1', ...env });
  try {
    await stack.startWorker();
    const graph = (name: string) =>
      upload(
        stack,
        'graph',
        weights === 'inside'
          ? { 'model.onnx': `${ZOO}${name}.onnx` }
          : { 'model.onnx': join(graphs, `${name}.onnx`), [`${name}.bin`]: join(graphs, `${name}.bin`) },
      );
    const dataset = (name: string) => upload(stack, 'dataset', { 'data.safetensors': `${ZOO}${name}.safetensors` });
    const id = await stack.createMerge(await zooRecipe(stack, LEARNED, graph, dataset));
    const merge = await stack.untilFinal(id, 120_000);
    expect(merge).toMatchObject({ state: 'succeeded', error: null });
    const [key = ''] = (await stack.keys(`results/${id}/`)).filter((path) => path.endsWith('/recipe.json'));
    const recipe = JSON.parse(await text(await stack.parts.store.stream(key))) as { tasks: Learned };
    return { merge, report: await stack.report(id), tasks: recipe.tasks };
  } finally {
    for (const prefix of ['checkpoints', 'graphs', 'datasets', 'results']) {
      await stack.parts.store.deletePrefix(prefix);
    }
    await stack.close();
  }
}

describe('a merge that learns and is judged', () => {
  let wanted: Awaited<ReturnType<typeof learnedOn>>;
  beforeAll(async () => {
    wanted = await learnedOn({}, 'inside');
  });

  it('is told as the documents of the API have it', () => {
    expect(validate(Merge, wanted.merge)).toMatchObject({ ok: true });
    expect(validate(Report, wanted.report)).toMatchObject({ ok: true });
    expect(wanted.report.losses).toHaveLength(3);
    expect(wanted.report.tasks!.map(({ name, accuracy }) => [name, accuracy !== null])).toEqual([
      ['digits', true],
      ['blobs', true],
    ]);
    const { seconds } = wanted.report;
    expect(seconds['total']).toBeGreaterThan(seconds['tuning']! + seconds['evaluating']!);
  });

  it('has the same coefficients from graphs whose weights lie beside them', async () => {
    const { report, tasks } = await learnedOn({}, 'beside');
    expect(report.coefficients).toEqual(wanted.report.coefficients);
    expect(report.tasks).toEqual(wanted.report.tasks);
    expect(tasks.map(({ graph }) => graph.map(({ path }) => path))).toEqual([
      ['model.onnx', 'digits.bin'],
      ['model.onnx', 'blobs.bin'],
    ]);
  });

  it('leaves what it was learned from by digest, for whoever makes it again', async () => {
    const fileOf = async (path: string, file: string) => {
      const bytes = await readFile(`${ZOO}${file}`);
      return { path, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
    };
    const expected = NAMES.map(async (task) => ({
      task,
      graph: [await fileOf('model.onnx', `${task}.onnx`)],
      data: [await fileOf('data.safetensors', `${task}.unlabeled.safetensors`)],
    }));
    expect(wanted.tasks).toEqual(await Promise.all(expected));
  });

  it.skipIf(s3 === null)(`also from a store on another machine${s3 === null ? `: ${NO_S3}` : ''}`, async () => {
    const { report } = await learnedOn(s3Env(s3!), 'beside');
    expect(report.coefficients).toEqual(wanted.report.coefficients);
    expect(report.tasks).toEqual(wanted.report.tasks);
  });
});

describe('a registered dataset that is replaced', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await Stack.open(server.url, { AMALGAM_TUNING_THREADS: '1' });
    await stack.startWorker();
  });
  afterAll(() => stack?.close());

  /** In a folder whose files may be registered. */
  const local = (name: string) => join(stack.home, 'models', `${name}.safetensors`);

  async function register(name: string): Promise<string> {
    await mkdir(join(stack.home, 'models'), { recursive: true });
    await copyFile(`${ZOO}${name}.safetensors`, local(name));
    const uri = pathToFileURL(local(name)).href;
    const open = (beside: readonly string[] = []) =>
      resolveUri(uri, stack.config.allowedRoots, undefined, { suffixes: ['.safetensors'], beside });
    const contents = await describeAsset('dataset', { open, whole: false });
    return (await stack.parts.database.assets('dataset').createRegistered(stack.projectId, { ...contents, name, uri }))
      .id;
  }

  it.each([
    ['tuning', 'unlabeled'],
    ['evaluating', 'labeled'],
  ] as const)('while the merge is %s fails it by name', async (stage, which) => {
    const graph = (name: string) => upload(stack, 'graph', { 'model.onnx': `${ZOO}${name}.onnx` });
    const id = await stack.createMerge(await zooRecipe(stack, LEARNED, graph, register));
    await stack.until(id, ({ progress }) => progress.stage === stage, 30_000);
    // Other bytes of the same form: nothing else would show it.
    const path = local(`digits.${which}`);
    await copyFile(local(`blobs.${which}`), `${path}.new`);
    await rename(`${path}.new`, path);
    const merge = await stack.untilFinal(id, 120_000);
    expect(merge).toMatchObject({ state: 'failed', error: { code: 'checkpoint_changed' }, result: null });
    expect(merge.error?.detail).toContain(`digits.${which}`);
    expect(await stack.keys(`results/${id}/`)).toEqual([]);
  });
});
