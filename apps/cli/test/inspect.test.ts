import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeModel, readModel, writeModel } from '@amalgam/onnx';
import { writeSafetensors } from '@amalgam/tensors';
import { afterAll, describe, expect, test } from 'vitest';

const MAIN = fileURLToPath(new URL('../dist/main.js', import.meta.url));
const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/', import.meta.url));
const NPZ = fileURLToPath(new URL('../../../libs/tensors/test/fixtures/stored.npz', import.meta.url));
const dir = mkdtempSync(join(tmpdir(), 'amalgam-inspect-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function amalgam(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : -1, stdout, stderr });
    });
  });
}

async function inspect(...args: string[]): Promise<Record<string, unknown>> {
  const ran = await amalgam('inspect', ...args, '--json');
  expect(ran.stderr).toBe('');
  return JSON.parse(ran.stdout) as Record<string, unknown>;
}

const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex');
const zeros = (name: string, shape: number[]) => ({
  name,
  dtype: 'F32' as const,
  shape,
  data: new Uint8Array(4 * shape.reduce((product, size) => product * size, 1)),
});

describe('amalgam inspect', () => {
  test('a graph: inputs, outputs, operators, and that nothing is in the way', async () => {
    const path = join(ZOO, 'digits.onnx');
    expect(await inspect(path, '--digests')).toMatchObject({
      kind: 'graph',
      opset: 20,
      inputs: [{ name: 'pixel_values', dtype: 'F32', shape: ['batch', 1, 32, 32] }],
      outputs: [{ name: 'logits', dtype: 'F32', shape: ['batch', 10] }],
      operators: { Softmax: 5 },
      files: [{ path: 'digits.onnx', sha256: sha256(path) }],
      unsupported: [],
    });
    const { stdout } = await amalgam('inspect', path);
    expect(stdout).toContain('[batch, 1, 32, 32]');
    expect(stdout).toContain('5 Softmax');
    expect(stdout).toContain('every operator can be read and rewritten');
  });

  test('a graph in a folder, with its external data', async () => {
    const folder = join(dir, 'external');
    mkdirSync(folder);
    await writeModel(await readModel(join(ZOO, 'digits.onnx')), join(folder, 'g.onnx'), { externalData: {} });
    const { files } = await inspect(folder, '--digests');
    const data = { path: 'g.onnx.data', sha256: sha256(join(folder, 'g.onnx.data')) };
    expect(files).toMatchObject([{ path: 'g.onnx' }, data]);
  });

  test('a graph with what cannot be learned through, by node', async () => {
    const model = await readModel(join(ZOO, 'digits.onnx'));
    const [first, ...nodes] = model.graph!.node;
    const strange = { ...first!, name: 'mine', domain: 'com.example', opType: 'Mine' };
    const changed = {
      ...model,
      opsetImport: [
        { domain: '', version: 15 },
        { domain: 'com.example', version: 1 },
      ],
      graph: { ...model.graph!, node: [strange, ...nodes] },
    };
    const path = join(dir, 'strange.onnx');
    writeFileSync(path, encodeModel(changed));
    const { unsupported } = await inspect(path);
    expect(unsupported).toEqual([
      { node: null, why: expect.stringContaining('opset 15; opset 16 or later') },
      { node: expect.stringContaining('mine'), why: expect.stringContaining('custom operator') },
    ]);
    const { stdout } = await amalgam('inspect', path);
    expect(stdout).toContain('cannot be learned through');
  });

  test('a dataset: npz, and safetensors whose tensors share their rows and have no dots in their names', async () => {
    expect(await inspect(NPZ)).toMatchObject({ kind: 'dataset', format: 'npz', labelled: true });
    const labelled = await inspect(join(ZOO, 'digits.labeled.safetensors'), '--digests');
    expect(labelled).toMatchObject({
      kind: 'dataset',
      rows: 256,
      labelled: true,
      tensors: [{ name: 'labels', shape: [256] }, { name: 'pixel_values' }],
      files: [{ sha256: sha256(join(ZOO, 'digits.labeled.safetensors')) }],
    });
    const { stdout } = await amalgam('inspect', join(ZOO, 'digits.unlabeled.safetensors'));
    expect(stdout).toContain('256 rows, without labels');
  });

  test('a checkpoint, else; --as says otherwise', async () => {
    const write = async (name: string, tensors: ReturnType<typeof zeros>[]) => {
      const path = join(dir, `${name}.safetensors`);
      await writeSafetensors(path, tensors);
      return path;
    };
    const uneven = await write('uneven', [zeros('a', [2, 3]), zeros('b', [3])]);
    expect(await inspect(uneven)).toMatchObject({ kind: 'model' });
    const dotted = await write('dotted', [zeros('head.weight', [2, 3]), zeros('head.bias', [2])]);
    expect(await inspect(dotted)).toMatchObject({ kind: 'model', parameters: 8 });
    expect(await inspect(dotted, '--as', 'dataset')).toMatchObject({ kind: 'dataset', rows: 2 });
    const even = await write('even', [zeros('a', [2, 3]), zeros('b', [2])]);
    expect(await inspect(even)).toMatchObject({ kind: 'dataset' });
    expect(await inspect(even, '--as', 'checkpoint')).toMatchObject({ kind: 'model' });
  });

  test('refuses what is broken, missing or none of these', async () => {
    const cut = join(dir, 'cut.onnx');
    writeFileSync(cut, readFileSync(join(ZOO, 'digits.onnx')).subarray(0, -9));
    const npz = join(dir, 'cut.npz');
    writeFileSync(npz, readFileSync(NPZ).subarray(0, -9));
    for (const [args, says] of [
      [[cut], 'The graph is not valid'],
      [[npz], 'The dataset is not valid'],
      [[join(dir, 'none.onnx')], 'there is no such file'],
      [[ZOO, '--as', 'graph'], 'a graph is one .onnx file'],
      [[ZOO, '--as', 'picture'], 'Allowed choices are checkpoint, graph, dataset'],
    ] as const) {
      const ran = await amalgam('inspect', ...args);
      expect([args, ran.code, ran.stderr]).toEqual([args, 2, expect.stringContaining(says)]);
    }
  });
});

describe('recipes with tasks', () => {
  const folder = join(dir, 'tasks');
  mkdirSync(folder);
  for (const file of ['base.safetensors', 'digits.safetensors', 'digits.onnx', 'digits.unlabeled.safetensors']) {
    copyFileSync(join(ZOO, file), join(folder, file));
  }
  const plan = (task: object) => {
    const path = join(folder, 'recipe.json');
    const tasks = [{ name: 'digits', model: 'digits.safetensors', graph: 'digits.onnx', ...task }];
    const recipe = { method: 'adamerging', base: 'base.safetensors', models: [{ model: 'digits.safetensors' }], tasks };
    writeFileSync(path, JSON.stringify(recipe));
    return amalgam('plan', path, '--json');
  };

  test('find graphs and datasets by path, relative to the recipe', async () => {
    const ran = await plan({ data: 'digits.unlabeled.safetensors' });
    expect([ran.code, ran.stderr]).toEqual([0, '']);
    expect(JSON.parse(ran.stdout)).toMatchObject({ method: 'adamerging', tuning: { steps: 500 } });
  });

  test('say what does not fit, before anything is read', async () => {
    const missing = await plan({ data: 'nowhere.npz' });
    expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('nowhere.npz')]);
    await writeSafetensors(join(folder, 'few.safetensors'), [zeros('pixel_values', [4, 1, 32, 32])]);
    const few = await plan({ data: 'few.safetensors' });
    expect(few.code).toBe(2);
    expect(JSON.parse(few.stderr)).toMatchObject({ code: 'invalid_dataset', errors: [{ pointer: '/tasks/0/data' }] });
    const checkpoint = await plan({ data: 'digits.safetensors' });
    expect([checkpoint.code, checkpoint.stderr]).toEqual([2, expect.stringContaining('invalid_dataset')]);
  });
});
