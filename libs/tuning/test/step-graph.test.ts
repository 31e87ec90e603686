import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeTaskVectors } from '@amalgam/engine';
import { describe, expect, it } from 'vitest';
import type { Table } from '../src/adam.js';
import { workFolder } from './support/folders.js';
import { floats, numbersFrom } from './support/numbers.js';
import {
  classifier,
  encoderWeights,
  features,
  headWeights,
  type SmallMerge,
  smallMerge,
  twoClassifiers,
} from './support/small-merge.js';
import { apart, openStep, type Step, slopesOf } from './support/stepping.js';

/** Coefficients around 0.3, none like another. */
function someCoefficients({ table }: Step): Table {
  const next = numbersFrom(11);
  return table(0).map((row) => row.map(() => 0.3 + 0.2 * next()));
}

async function stepOf(given: SmallMerge, options: Parameters<typeof openStep>[2] = {}): Promise<Step> {
  const folder = await workFolder();
  return openStep(await smallMerge(join(folder, 'inputs'), given), folder, options);
}

function withParameters(given: SmallMerge, parameters: Record<string, unknown>): SmallMerge {
  return { ...given, parameters: { ...given.parameters, ...parameters } };
}

describe('the gradient is the slope of the losses', () => {
  it.each([
    ['by layer', { granularity: 'layer' }],
    ['by task', { granularity: 'task' }],
    ['by layer, signs resolved', { granularity: 'layer', sign_resolve: true, density: 0.5 }],
    ['by task, signs resolved', { granularity: 'task', sign_resolve: true, density: 0.5 }],
    ['in portable form', { granularity: 'layer' }, { portable: true }],
  ])('%s', async (_, parameters, options: { portable?: boolean } = {}) => {
    const step = await stepOf(withParameters(twoClassifiers(), parameters), options);
    const at = someCoefficients(step);
    const { gradient } = await step.run(at);
    expect(apart(gradient, await slopesOf(step, at))).toBeLessThan(2e-3);
  });

  it('where two tasks have one model and a third model has no task', async () => {
    const base = encoderWeights(1);
    const heads = { ...headWeights(2) };
    const a = { ...encoderWeights(4, base), ...heads };
    const graph = () => classifier({ ...base, ...heads });
    const step = await stepOf({
      base,
      models: { a, b: encoderWeights(5, base), c: encoderWeights(8, base) },
      tasks: [
        { name: 'one', model: 'a', graph: graph(), data: features(6, 12) },
        { name: 'other', model: 'a', graph: graph(), data: features(7, 12) },
      ],
      parameters: { batch_size: 4 },
    });
    const at = someCoefficients(step);
    const { losses, gradient } = await step.run(at);
    expect(losses[0]).not.toBe(losses[1]);
    expect(apart(gradient, await slopesOf(step, at))).toBeLessThan(2e-3);
    expect(gradient.every((row) => row.every((slope) => slope !== 0))).toBe(true);
  });
});

describe('what does not change the numbers', () => {
  /** Losses and gradient of two ways to compute the same. */
  async function same(one: Step, other: Step, stepIndex = 0): Promise<void> {
    const at = someCoefficients(one);
    const [a, b] = [await one.run(at, stepIndex), await other.run(at, stepIndex)];
    expect(apart([a.losses], [b.losses])).toBeLessThan(1e-5);
    expect(apart(a.gradient, b.gradient)).toBeLessThan(1e-5);
  }

  it('whether tasks share an encoder', async () => {
    const [shared, alone] = [await stepOf(twoClassifiers()), await stepOf(twoClassifiers(), { share: false })];
    expect(shared.graph.shape).toEqual({ encoders: 1, largest: 2 });
    expect(alone.graph.shape).toEqual({ encoders: 2, largest: 1 });
    await same(shared, alone, 1);
  });

  it('whether activations are bounded so that each task runs alone', async () => {
    const tight = await stepOf(twoClassifiers(), { activationBytes: 1 });
    expect(tight.graph.shape).toEqual({ encoders: 2, largest: 1 });
    await same(tight, await stepOf(twoClassifiers()));
  });

  it('whether three tasks run two and one', async () => {
    const two = twoClassifiers();
    const heads = headWeights(9);
    const three = {
      ...two,
      models: { ...two.models, c: { ...encoderWeights(10, two.base), ...heads } },
      tasks: [...two.tasks, { name: 'c', graph: classifier({ ...two.base, ...heads }), data: features(12, 12) }],
    };
    // Of one task: layer 1, layer 2 (product, sum and tanh of [4, 8] each) and the head, ([4, 5] twice), in float32.
    const bound = 2.5 * 4 * (6 * 32 + 2 * 20);
    const bounded = await stepOf(three, { activationBytes: bound });
    expect(bounded.graph.shape).toEqual({ encoders: 2, largest: 2 });
    await same(bounded, await stepOf(three));
  });

  it('whether only operators are used that every provider has', async () => {
    await same(await stepOf(twoClassifiers(), { portable: true }), await stepOf(twoClassifiers()));
  });

  it('whether a graph is fixed to its batch', async () => {
    const { base, tasks, ...rest } = twoClassifiers();
    const heads = [headWeights(2), headWeights(3, 4)];
    const fixed = tasks.map((task, i) => ({ ...task, graph: classifier({ ...base, ...heads[i]! }, { batch: 4 }) }));
    const step = await stepOf({ ...rest, base, tasks: fixed });
    expect(step.graph.shape).toEqual({ encoders: 2, largest: 1 });
    await same(step, await stepOf(twoClassifiers()));
  });

  it('whether a graph fixed to its batch takes two of them a step', async () => {
    const { base, tasks, ...rest } = withParameters(twoClassifiers(), { batches_per_step: 2 });
    const heads = [headWeights(2), headWeights(3, 4)];
    const fixed = tasks.map((task, i) => ({ ...task, graph: classifier({ ...base!, ...heads[i]! }, { batch: 4 }) }));
    const step = await stepOf({ ...rest, base, tasks: fixed });
    expect(step.graph.shape).toEqual({ encoders: 4, largest: 1 });
    await same(step, await stepOf(withParameters(twoClassifiers(), { batches_per_step: 2 })));
  });

  it('whether a graph holds the base’s numbers or those of the task’s model', async () => {
    const { models, tasks, ...rest } = twoClassifiers();
    const tuned = tasks.map((task) => ({ ...task, graph: classifier(models[task.name]!) }));
    await same(await stepOf({ ...rest, models, tasks: tuned }), await stepOf(twoClassifiers()));
  });

  it('which opset graphs have', async () => {
    const { base, tasks, ...rest } = twoClassifiers();
    const old = [headWeights(2), headWeights(3, 4)].map((head) => classifier({ ...base, ...head }, { opset: 16 }));
    const step = await stepOf({ ...rest, base, tasks: tasks.map((task, i) => ({ ...task, graph: old[i]! })) });
    await same(step, await stepOf(twoClassifiers()));
  });
});

describe('batches', () => {
  it('of one step add up: two at once lose and slope as one and then the other', async () => {
    const both = await stepOf(withParameters(twoClassifiers(), { batches_per_step: 2 }));
    const single = await stepOf(twoClassifiers());
    const at = someCoefficients(both);
    const [whole, first, second] = [await both.run(at, 0), await single.run(at, 0), await single.run(at, 1)];
    const losses = first.losses.map((loss, t) => loss + second.losses[t]!);
    const gradient = first.gradient.map((row, r) => row.map((slope, k) => slope + second.gradient[r]![k]!));
    expect(first.losses[0]).not.toBe(second.losses[0]);
    expect(apart([whole.losses], [losses])).toBeLessThan(1e-5);
    expect(apart(whole.gradient, gradient)).toBeLessThan(1e-5);
  });
});

describe('tensors that are not merged', () => {
  it('stay the task’s model’s own, and have no coefficient', async () => {
    const { models, ...rest } = twoClassifiers();
    const step = await stepOf({ ...rest, models, merge: { exclude: ['layer2.*'] } });
    expect(step.tensors).toEqual(['layer1.bias', 'layer1.weight']);
    const own = await stepOf({ ...rest, models });
    // Model a alone: for its task the excluded tensors are a's in both, for the other task they are b's.
    const onlyA = ({ tensors }: Step): Table => tensors.map(() => [1, 0]);
    const [kept, merged] = [await step.run(onlyA(step)), await own.run(onlyA(own))];
    expect(kept.losses[0]).toBeCloseTo(merged.losses[0]!, 5);
    expect(kept.losses[1]).not.toBeCloseTo(merged.losses[1]!, 3);
  });

  it('leave the gradient of the others the slope of the losses', async () => {
    const step = await stepOf({ ...twoClassifiers(), merge: { exclude: ['*.bias'] } });
    const at = someCoefficients(step);
    expect(step.tensors).toEqual(['layer1.weight', 'layer2.weight']);
    expect(apart((await step.run(at)).gradient, await slopesOf(step, at))).toBeLessThan(2e-3);
  });
});

describe('task vectors of half the size', () => {
  it.each([
    ['float16', 2e-3],
    ['bfloat16', 2e-2],
  ])('%s: losses and gradient are near those of float32', async (dtype, tolerance) => {
    const half = await stepOf(withParameters(twoClassifiers(), { task_vector_dtype: dtype }));
    const whole = await stepOf(twoClassifiers());
    const at = someCoefficients(whole);
    const [a, b] = [await half.run(at), await whole.run(at)];
    const off = apart(a.gradient, b.gradient);
    expect(apart([a.losses], [b.losses])).toBeLessThan(tolerance);
    expect(off).toBeLessThan(tolerance);
    // Were they not rounded, they would be equal.
    expect(off).toBeGreaterThan(0);
  });

  it('take half the bytes of the file, besides the base', async () => {
    const size = 256 * 1024;
    const wide = (seed: number) => ({ wide: { shape: [256, 1024], values: floats(seed, size) } });
    const bytesOf = async (dtype: string) => {
      const folder = await workFolder();
      const given = { base: wide(1), models: { a: wide(2) }, tasks: [], parameters: { task_vector_dtype: dtype } };
      const { plan, pathOf } = await smallMerge(join(folder, 'inputs'), given);
      const path = join(folder, 'task-vectors.bin');
      await writeTaskVectors(plan, { pathOf, path, dtype: dtype === 'float32' ? 'F32' : 'F16' });
      return (await stat(path)).size;
    };
    expect(await bytesOf('float32')).toBe(4 * size + 4 * size);
    expect(await bytesOf('float16')).toBe(4 * size + 2 * size);
  });
});
