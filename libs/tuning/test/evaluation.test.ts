import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { npyFile, zipFile } from '../../tensors/test/zip-writer.js';
import { clampTable } from '../src/adam.js';
import { workFolder } from './support/folders.js';
import { judge, logitsOf, mergeAndEvaluate } from './support/judging.js';
import {
  classifier,
  encoderWeights,
  features,
  headWeights,
  type SmallMerge,
  smallMerge,
  type Tensors,
  twoClassifiers,
} from './support/small-merge.js';
import { datasetOf, reference, zooMerge } from './support/zoo.js';

/** Half a point: a row or two of 256, whose largest logits are as good as equal. */
const HALF_A_POINT = 0.005;

describe('the zoo, beside PyTorch', () => {
  const expectAccuracies = (found: readonly (number | null)[], wanted: readonly number[]) => {
    expect(found).toHaveLength(wanted.length);
    for (const [t, accuracy] of found.entries()) {
      expect(Math.abs(accuracy! - wanted[t]!), reference.tasks[t]).toBeLessThanOrEqual(HALF_A_POINT);
    }
  };

  it('individual models, the base, and their average', async () => {
    const reports = await mergeAndEvaluate(await zooMerge('linear', {}), await workFolder());
    expect(reports.map(({ name }) => name)).toEqual(reference.tasks);
    expectAccuracies(
      reports.map(({ individual }) => individual.accuracy),
      reference.accuracy['individual']!,
    );
    expectAccuracies(
      reports.map(({ accuracy }) => accuracy),
      reference.accuracy['weight_average']!,
    );
    for (const { base, entropy, individual, rows } of reports) {
      expect(base!.accuracy).toBeLessThan(individual.accuracy!);
      expect(individual.entropy).toBeLessThan(entropy!);
      expect(rows).toBe(256);
    }
  });

  it('task arithmetic', async () => {
    const merge = await zooMerge('task_arithmetic', { lambda: 0.3 });
    const reports = await mergeAndEvaluate(merge, await workFolder());
    expectAccuracies(
      reports.map(({ accuracy }) => accuracy),
      reference.accuracy['task_arithmetic_0.3']!,
    );
  });

  it.each([
    ['adamerging_layer', false],
    ['adamerging_pp_layer', true],
    ['adamerging_task', false],
  ])('%s, merged with the coefficients that PyTorch learned', async (name, signs) => {
    const { coefficients, clamp } = reference.reference[name]!;
    const tensors = name.endsWith('_layer') ? reference.merged_tensors : ['*'];
    const reports = await mergeAndEvaluate(await zooMerge('adamerging', { sign_resolve: signs }), await workFolder(), {
      tensors,
      values: clampTable(coefficients, clamp),
    });
    expectAccuracies(
      reports.map(({ accuracy }) => accuracy),
      reference.accuracy[name]!,
    );
  });
});

/** Two classifiers and their average, judged on `rows` rows. */
function judged(rows: number, labels?: ArrayLike<number>): SmallMerge {
  const { tasks, ...given } = twoClassifiers();
  const evaluation = {
    ...features(31, rows),
    ...(labels !== undefined && { labels: { dtype: 'I64' as const, shape: [rows], values: labels } }),
  };
  return { ...given, method: 'linear', parameters: {}, tasks: tasks.map((task) => ({ ...task, evaluation })) };
}

function labelsFor(rows: number): number[] {
  return Array.from({ length: rows }, (_, i) => (7 * i) % 4);
}

/** Of the layers that the two models share. */
function average({ a, b }: SmallMerge['models']): Tensors {
  const shared = Object.entries(a!).filter(([name]) => name.startsWith('layer'));
  const mean = shared.map(([name, { shape, values }]) => [
    name,
    { shape, values: Array.from(values, (value, i) => (value + b![name]!.values[i]!) / 2) },
  ]);
  return Object.fromEntries(mean) as Tensors;
}

describe('scores', () => {
  it.each([1, 64, 70])('of %i rows are those of the definition', async (rows) => {
    const given = judged(rows, labelsFor(rows));
    const folder = await workFolder();
    const reports = await mergeAndEvaluate(await smallMerge(join(folder, 'inputs'), given), folder);
    for (const [t, { name, evaluation }] of given.tasks.entries()) {
      const own = given.models[name]!;
      const { x, labels } = evaluation!;
      const score = async (weights: typeof own) =>
        judge(await logitsOf(classifier(weights), { x: x! }), own['head.bias']!.shape[0]!, labels!.values);
      const report = reports[t]!;
      for (const [found, wanted] of [
        [report, await score({ ...own, ...average(given.models) })],
        [report.individual, await score(own)],
        [report.base!, await score({ ...own, ...given.base })],
      ] as const) {
        expect(found.entropy).toBeCloseTo(wanted.entropy, 5);
        expect(found.accuracy).toBe(wanted.accuracy);
      }
      expect(report).toMatchObject({ name, model: name, rows });
    }
  });

  it('are the same from a graph that is fixed to a number of rows, whatever the dataset has', async () => {
    const { base, tasks, ...rest } = judged(10, labelsFor(10));
    const fixed = tasks.map((task) => ({
      ...task,
      graph: classifier({ ...rest.models[task.name]!, ...base! }, { batch: 4 }),
    }));
    const [folder, other] = [await workFolder(), await workFolder()];
    const found = await mergeAndEvaluate(
      await smallMerge(join(folder, 'inputs'), { ...rest, base, tasks: fixed }),
      folder,
    );
    const wanted = await mergeAndEvaluate(await smallMerge(join(other, 'inputs'), { ...rest, base, tasks }), other);
    for (const [t, { entropy, accuracy }] of wanted.entries()) {
      expect(found[t]!.entropy).toBeCloseTo(entropy!, 6);
      expect(found[t]!.accuracy).toBe(accuracy);
      expect(found[t]!.rows).toBe(10);
    }
  });

  it('have no accuracy without labels', async () => {
    const folder = await workFolder();
    const reports = await mergeAndEvaluate(await smallMerge(join(folder, 'inputs'), judged(9)), folder);
    for (const { entropy, accuracy, individual, base } of reports) {
      expect([accuracy, individual.accuracy, base!.accuracy]).toEqual([null, null, null]);
      expect(entropy).toBeGreaterThan(0);
    }
  });

  it('are taken on the data that a task learns from where it names none to judge by', async () => {
    const folder = await workFolder();
    const { tasks, ...given } = judged(9);
    const plain = tasks.map(({ evaluation, ...task }) => ({ ...task, data: evaluation! }));
    const reports = await mergeAndEvaluate(
      await smallMerge(join(folder, 'inputs'), { ...given, tasks: plain }),
      folder,
    );
    expect(reports.map(({ rows }) => rows)).toEqual([9, 9]);
  });

  it('have none of a base where the merge has none', async () => {
    const folder = await workFolder();
    const head = headWeights(2);
    const [a, b] = [encoderWeights(4), encoderWeights(5)].map((weights) => ({ ...weights, ...head }));
    const graph = classifier(a!);
    const given: SmallMerge = {
      method: 'linear',
      base: null,
      models: { a: a!, b: b! },
      tasks: [{ name: 'a', graph, data: features(6, 12) }],
    };
    const [report] = await mergeAndEvaluate(await smallMerge(join(folder, 'inputs'), given), folder);
    expect(report!.base).toBeNull();
    const alone = judge(await logitsOf(graph, features(6, 12)), 5, new Int32Array(12));
    expect(report!.individual.entropy).toBeCloseTo(alone.entropy, 5);
    expect(report!.entropy).not.toBeCloseTo(alone.entropy, 3);
  });

  it('are those of the merged tensors as they are stored: rounded to the output’s dtype', async () => {
    const [folder, other] = [await workFolder(), await workFolder()];
    const float = await smallMerge(join(folder, 'inputs'), judged(40));
    const half = await smallMerge(join(other, 'inputs'), { ...judged(40), outDtype: 'bfloat16' });
    const [exact] = await mergeAndEvaluate(float, folder);
    const [rounded] = await mergeAndEvaluate(half, other);
    expect(rounded!.entropy).toBeCloseTo(exact!.entropy!, 2);
    expect(rounded!.entropy).not.toBe(exact!.entropy);
    expect(rounded!.individual).toEqual(exact!.individual);
  });

  it('come from npz datasets as from safetensors', async () => {
    const given = judged(10, labelsFor(10));
    const folder = await workFolder();
    const merge = await smallMerge(join(folder, 'inputs'), given);
    const { x, labels } = given.tasks[0]!.evaluation!;
    const path = join(folder, 'rows.npz');
    const members = [
      { name: 'x.npy', data: npy('<f4', x!.shape, Float32Array.from(x!.values)), deflate: true },
      { name: 'labels.npy', data: npy('<i8', [10], BigInt64Array.from(Array.from(labels!.values, BigInt))) },
    ];
    await writeFile(path, zipFile(members));
    const evaluation = await datasetOf(path);
    const npz = { ...merge, tasks: merge.tasks.map((task) => ({ ...task, evaluation })) };
    const [first, second] = [await mergeAndEvaluate(merge, folder), await mergeAndEvaluate(npz, await workFolder())];
    expect(second).toEqual(first);
  });
});

/** A NumPy array as it is stored. */
function npy(descr: string, shape: readonly number[], values: Float32Array | BigInt64Array): Uint8Array {
  const dims = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const header = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${dims}), }`;
  return npyFile(header, new Uint8Array(values.buffer));
}
