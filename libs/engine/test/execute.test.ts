import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { isAmalgamError, Report, validate } from '@amalgam/contracts';
import { fromFloat32, localFileFolder, toFloat32, writeSafetensors } from '@amalgam/tensors';
import { describe, expect, test, vi } from 'vitest';
import { writeArtifacts } from '../src/artifacts.js';
import { executeMerge } from '../src/execute.js';
import { planMerge } from '../src/plan.js';
import type { TensorStatistics } from '../src/report.js';
import { scanTarget } from '../src/search.js';
import { countElements, sample, toTasks } from '../src/spans.js';
import type { WrittenFile } from '../src/types.js';
import { decode, input, type Model, merge, tempDir, writeModel } from './support.js';

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'no error',
    (error: unknown) => (isAmalgamError(error) ? error.code : error),
  );

/** Deterministic noise. */
function noise(n: number, seed: number, scale = 1): Float32Array {
  const values = new Float32Array(n);
  let state = seed;
  for (let i = 0; i < n; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = scale * (state / 2 ** 31 - 1);
  }
  return values;
}

describe('the trim of large models is exact wherever the threshold lies', () => {
  const N = 3_000_000;
  const looked = sample([{ index: 0, elements: N }]);

  /** Keeps the k largest magnitudes, lowest index first among equals, by sorting. */
  function sorted(delta: Float32Array, density: number): Float32Array {
    const k = Math.max(1, Math.floor(density * delta.length));
    const magnitudes = delta.map(Math.abs).sort();
    const threshold = magnitudes[magnitudes.length - k]!;
    let ties = k - magnitudes.reduce((n, m) => n + (m > threshold ? 1 : 0), 0);
    return delta.map((x) => (Math.abs(x) > threshold || (Math.abs(x) === threshold && ties-- > 0) ? x : 0));
  }

  const deltas: Record<string, () => Float32Array> = {
    'smooth noise': () => noise(N, 1),
    // Where the sample looks, magnitudes are a thousand times the others': the first window misses.
    'values that mislead the sample upwards': () => {
      const values = noise(N, 2, 0.001);
      for (const { start, count } of looked) values.fill(1, start, start + count);
      return values;
    },
    'values that mislead the sample downwards': () => {
      const values = noise(N, 3);
      for (const { start, count } of looked) values.fill(0, start, start + count);
      return values;
    },
    'few distinct magnitudes': () => noise(N, 4).map((x) => Math.round(x * 3) / 4),
    'all equal': () => new Float32Array(N).fill(-0.5),
    'all zero': () => new Float32Array(N),
    'subnormals and huge values': () => noise(N, 5).map((x, i) => (i % 2 ? x * 1e-42 : x * 1e38)),
  };
  for (const [name, make] of Object.entries(deltas)) {
    test.each([0.2, 0.9])(`${name}, density %s`, async (density) => {
      const dir = tempDir();
      const delta = make();
      const shape = { dtype: 'F32' as const, shape: [N] };
      const base = await input(await writeModel(dir, 'base', { w: { ...shape, values: new Float32Array(N) } }), 'base');
      const model = await input(await writeModel(dir, 'm', { w: { ...shape, values: delta } }), 'm');
      const result = await merge({ method: 'ties', parameters: { density } }, base, [model]);
      const got = (await decode(result.contents.get('model.safetensors')!)).get('w')!.values!;
      const expected = sorted(delta, density);
      const at = got.findIndex((x, i) => x !== expected[i]);
      expect(at === -1 ? null : { at, got: got[at], expected: expected[at] }).toBeNull();
    });
  }
});

describe('dtypes', () => {
  test('every float dtype goes in and out, rounded once', async () => {
    const dir = tempDir();
    const values = noise(37, 9, 3);
    const delta = noise(37, 10, 0.5);
    const dtypes = ['F64', 'F32', 'F16', 'BF16', 'F8_E4M3', 'F8_E5M2'] as const;
    const toModel = (list: Float32Array): Model =>
      Object.fromEntries(dtypes.map((dtype) => [dtype, { dtype, shape: [37], values: list }]));
    const base = await input(await writeModel(dir, 'base', toModel(values)), 'base');
    const other = await input(await writeModel(dir, 'm', toModel(values.map((x, i) => x + delta[i]!))), 'm');
    const { contents } = await merge({ method: 'task_arithmetic', parameters: { lambda: 0.7 } }, base, [other]);
    for (const [dtype, tensor] of await decode(contents.get('model.safetensors')!)) {
      expect(tensor.dtype).toBe(dtype);
      const stored = (list: Float32Array) => toFloat32(tensor.dtype, fromFloat32(tensor.dtype, list));
      const b = stored(values);
      const m = stored(values.map((x, i) => x + delta[i]!));
      const f = Math.fround;
      const expected = b.map((x, i) => f(x + f(f(0.7) * f(m[i]! - x))));
      expect(Buffer.from(tensor.data).equals(Buffer.from(fromFloat32(tensor.dtype, expected)))).toBe(true);
    }
  });

  test('models of other dtypes than the base; out_dtype', async () => {
    const dir = tempDir();
    const values = noise(5000, 11);
    const base = await input(await writeModel(dir, 'base', { w: { dtype: 'F32', shape: [5000], values } }), 'base');
    const other = await input(await writeModel(dir, 'm', { w: { dtype: 'BF16', shape: [5000], values } }), 'm');
    const { contents } = await merge({ method: 'linear', out_dtype: 'float16' }, base, [other]);
    const tensor = (await decode(contents.get('model.safetensors')!)).get('w')!;
    const bf16 = toFloat32('BF16', fromFloat32('BF16', values));
    expect(Buffer.from(tensor.data).equals(Buffer.from(fromFloat32('F16', bf16)))).toBe(true);
  });

  test('NaN and infinity in a model show in the result instead of vanishing', async () => {
    const dir = tempDir();
    const base = await input(
      await writeModel(dir, 'base', { w: { dtype: 'F32', shape: [4], values: [0, 0, 0, 0] } }),
      'b',
    );
    const values = [1, Number.NaN, Number.POSITIVE_INFINITY, 2];
    const other = await input(await writeModel(dir, 'm', { w: { dtype: 'F32', shape: [4], values } }), 'm');
    const { contents } = await merge({ method: 'ties', parameters: { density: 1 } }, base, [other]);
    expect([...(await decode(contents.get('model.safetensors')!)).get('w')!.values!]).toEqual(values);
  });
});

describe('a merge that cannot be finished', () => {
  async function large() {
    const dir = tempDir();
    const shape = { dtype: 'F32' as const, shape: [4_000_000] };
    const base = await input(await writeModel(dir, 'base', { w: { ...shape, values: noise(4_000_000, 1) } }), 'base');
    const other = await input(await writeModel(dir, 'm', { w: { ...shape, values: noise(4_000_000, 2) } }), 'm');
    return { base, other };
  }

  test('canceled before and while it runs', async () => {
    const { base, other } = await large();
    const abort = new AbortController();
    abort.abort();
    expect(await codeOf(merge({ method: 'ties' }, base, [other], { signal: abort.signal }))).toBe('canceled');
    const later = new AbortController();
    const outDir = tempDir();
    const started = performance.now();
    const running = codeOf(
      merge({ method: 'ties' }, base, [other], { signal: later.signal, threads: 1, chunkElements: 2048, outDir }),
    );
    // The file is there before its first chunk.
    await vi.waitUntil(() => existsSync(join(outDir, 'model.safetensors')), { timeout: 10_000, interval: 1 });
    later.abort();
    expect(await running).toBe('canceled');
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test('an input that became shorter after it was checked', async () => {
    const { base, other } = await large();
    const plan = planMerge({ method: 'ties', base: 'b', models: [{ model: 'm' }] }, { base, models: [other] });
    truncateSync(other.path, 8_000_000);
    const outDir = tempDir();
    const work = executeMerge(plan, { pathOf: (i) => [base, other][i]!.path, outDir });
    await expect(work).rejects.toThrow(/m\.safetensors has no byte 80\d{5}, .* it became shorter/);
    expect(await codeOf(work)).toBe('checkpoint_changed');
  });

  const mounted = tryMount();
  test.skipIf(mounted === null)('a full disk (SKIPPED without the right to mount a small tmpfs)', async () => {
    const { base, other } = await large();
    try {
      const plan = planMerge({ method: 'linear', models: [{ model: 'm' }] }, { base: null, models: [other] });
      const outDir = join(mounted!, 'out');
      mkdirSync(outDir);
      expect(await codeOf(executeMerge(plan, { pathOf: () => other.path, outDir }))).toBe('storage_full');
      expect(base.checkpoint.parameters).toBe(4_000_000);
      // The small files that follow the weights may be what no longer fits.
      const result = await executeMerge(plan, { pathOf: () => other.path, outDir: tempDir() });
      const artifacts = { outDir, folderOf: () => localFileFolder(other.path), digestOf: () => null };
      expect(await codeOf(writeArtifacts(plan, result, artifacts))).toBe('storage_full');
    } finally {
      execFileSync('umount', [mounted!]);
    }
  });

  function tryMount(): string | null {
    const dir = `${process.env['TMPDIR'] ?? '/tmp'}/amalgam-full-${process.pid}`;
    try {
      mkdirSync(dir, { recursive: true });
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dir], { stdio: 'ignore' });
      return dir;
    } catch {
      console.warn('SKIPPED: a full disk — mounting a small tmpfs needs root');
      return null;
    }
  }
});

test('shards that an earlier attempt finished are not written again, and the report is the same', async () => {
  const dir = tempDir();
  const tensors = (seed: number): Model =>
    Object.fromEntries(
      Array.from({ length: 6 }, (_, i) => [`t${i}`, { dtype: 'F32', shape: [3000], values: noise(3000, seed + i) }]),
    );
  const base = await input(await writeModel(dir, 'base', tensors(1)), 'base');
  const other = await input(await writeModel(dir, 'm', tensors(50)), 'm');
  const finished = new Map<string, { file: WrittenFile; statistics: TensorStatistics[] }>();
  const first = await merge({ method: 'ties', shard_bytes: 25_000 }, base, [other], {
    onFile: async (file, statistics) => {
      finished.set(file.path, { file, statistics: JSON.parse(JSON.stringify(statistics)) as TensorStatistics[] });
    },
  });
  expect(first.files).toHaveLength(3);
  finished.delete('model-00002-of-00003.safetensors');
  const again: string[] = [];
  const plan = planMerge(
    { method: 'ties', base: 'base', models: [{ model: 'm' }], shard_bytes: 25_000 },
    { base, models: [other] },
  );
  const outDir = tempDir();
  const second = await executeMerge(plan, {
    pathOf: (i) => [base, other][i]!.path,
    outDir,
    finished,
    onFile: async (file) => {
      again.push(file.path);
    },
  });
  expect(again).toEqual(['model-00002-of-00003.safetensors']);
  expect(readdirSync(outDir)).toEqual(again);
  expect(second.files).toEqual(first.files);
  expect(second.report.tensors).toEqual(first.report.tensors);
  expect(second.report.inputs).toEqual(first.report.inputs);
});

test('a report says nothing of what is not there: no norms of weights, no shares of no elements', async () => {
  const dir = tempDir();
  const empty: Model = { w: { dtype: 'F32', shape: [0, 4], values: [] } };
  const base = await input(await writeModel(dir, 'base', empty), 'base');
  const model = await input(await writeModel(dir, 'm', empty), 'm');
  const { report } = await merge({ method: 'ties' }, base, [model]);
  expect(report).toMatchObject({ sign_conflicts: 0, inputs: [{}, { norm: 0, trimmed: 0 }] });
  expect(validate(Report, JSON.parse(JSON.stringify(report)))).toMatchObject({ ok: true });

  const linear = await merge({ method: 'linear' }, null, [base, model]);
  expect(linear.report.inputs.map((entry) => 'norm' in entry)).toEqual([false, false]);
  expect(linear.report.tensors[0]!.norms).toEqual([]);
});

test('tasks: small tensors share one up to a number; counts of a scan fit into 32 bits', () => {
  const small = Array.from({ length: 10 }, (_, index) => ({ index, elements: 3 }));
  expect(toTasks(small, 2048, 4096, 4).map((spans) => spans.length)).toEqual([4, 4, 2]);
  const huge = 405e9;
  const tasks = toTasks([{ index: 0, elements: huge }], 2 ** 18, scanTarget(huge, 2 ** 18));
  expect(tasks.reduce((sum, spans) => sum + countElements(spans), 0)).toBe(huge);
  expect(Math.max(...tasks.map(countElements))).toBeLessThan(2 ** 32);
});

test('what lies beside the weights: index, config with its dtype kept true, recipe, report, card', async () => {
  const dir = tempDir();
  const model: Model = {
    a: { dtype: 'F32', shape: [300], values: noise(300, 1) },
    b: { dtype: 'F32', shape: [300], values: noise(300, 2) },
  };
  const path = await writeModel(dir, 'base', model);
  const base = await input(path, 'base');
  const other = await input(await writeModel(dir, 'm', model), 'm');
  const plan = planMerge(
    { method: 'ties', base: 'base', models: [{ model: 'm' }], shard_bytes: 1200, out_dtype: 'bfloat16' },
    { base, models: [other] },
  );
  const outDir = tempDir();
  const donorDir = tempDir();
  const { writeFileSync } = await import('node:fs');
  writeFileSync(join(donorDir, 'config.json'), '{"model_type":"x","torch_dtype":"float32","n":1}');
  writeFileSync(join(donorDir, 'tokenizer.json'), '{}');
  writeFileSync(join(donorDir, 'secrets.env'), 'no');
  await writeSafetensors(join(donorDir, 'model.safetensors'), []);
  const { localFolder, describeCheckpoint } = await import('@amalgam/tensors');
  const donor = localFolder(donorDir);
  plan.inputs[0]!.checkpoint = { ...(await describeCheckpoint(donor)), tensors: base.checkpoint.tensors };
  const result = await executeMerge(plan, { pathOf: (i) => [base, other][i]!.path, outDir });
  const files = await writeArtifacts(plan, result, {
    outDir,
    folderOf: () => donor,
    digestOf: () => 'd'.repeat(64),
    name: 'A  test',
  });
  expect(files.map((file) => file.path)).toEqual([
    'config.json',
    'tokenizer.json',
    'recipe.json',
    'report.json',
    'README.md',
  ]);
  const read = (name: string) => readFileSync(join(outDir, name), 'utf8');
  expect(JSON.parse(read('config.json'))).toEqual({ model_type: 'x', torch_dtype: 'bfloat16', n: 1 });
  expect(JSON.parse(read('recipe.json')).recipe.parameters).toMatchObject({
    lambda: 1,
    scope: 'model',
    combine: 'mean',
  });
  expect(JSON.parse(read('recipe.json')).inputs[1].files[0].sha256).toBe('d'.repeat(64));
  expect(read('README.md')).toContain('# A test');
  expect(localFileFolder(path).label).toContain('base');
});
