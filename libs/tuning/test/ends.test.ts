import { openDataset } from '@amalgam/tensors';
import { describe, expect, it } from 'vitest';
import { Forward, feedsOf, WeightCache } from '../src/forward.js';
import { type PreparedTask, prepareTask } from '../src/prepare.js';
import { storedInputs } from '../src/stored-plan.js';
import { workFolder } from './support/folders.js';
import { logitsOf } from './support/judging.js';
import { classifier, smallMerge, type Tensors, twoClassifiers } from './support/small-merge.js';
import { openStep, type Step } from './support/stepping.js';
import { zooMerge } from './support/zoo.js';

/** Float32 rounding, relative to the largest logit. */
const ROUNDING = 1e-5;

function expectSame(found: Float32Array, wanted: Float32Array): void {
  expect(found.length).toBe(wanted.length);
  const largest = wanted.reduce((most, logit) => Math.max(most, Math.abs(logit)), 0);
  const apart = found.reduce((most, logit, i) => Math.max(most, Math.abs(logit - wanted[i]!)), 0);
  expect(apart / largest).toBeLessThan(ROUNDING);
}

/** 1 for one model, 0 for the others. */
function oneHot({ tensors }: Step, model: number): number[][] {
  return tensors.map(() => [0, 1].map((i) => (i === model ? 1 : 0)));
}

describe.each(['layer', 'task'])('a small classifier, coefficients by %s', (granularity) => {
  const given = twoClassifiers();
  const batches = given.tasks.map(({ data }): Tensors => {
    return { x: { shape: [4, 6], values: Array.from(data['x']!.values).slice(0, 24) } };
  });
  const open = async () => {
    const folder = await workFolder();
    const parameters = { ...given.parameters, granularity };
    return openStep(await smallMerge(`${folder}/inputs`, { ...given, parameters }), folder);
  };

  it('has the base’s logits at 0', async () => {
    const step = await open();
    const found = await step.logits(step.table(0));
    for (const [t, name] of ['a', 'b'].entries()) {
      expectSame(found[t]!, await logitsOf(classifier({ ...given.models[name]!, ...given.base }), batches[t]!));
    }
  });

  it('has the fine-tuned model’s logits at 1 for it and 0 for the other', async () => {
    const step = await open();
    for (const [t, name] of ['a', 'b'].entries()) {
      const found = await step.logits(oneHot(step, t));
      expectSame(found[t]!, await logitsOf(classifier(given.models[name]!), batches[t]!));
    }
  });
});

describe('the zoo’s vision transformer', () => {
  const names = ['digits', 'location'];

  /** The task's own graph with the base's or its model's weights. */
  async function forward(model: 'base' | 'own', task: number): Promise<Float32Array> {
    const { plan, tasks, pathOf } = await zooMerge('adamerging', {}, { names });
    const { base, models } = storedInputs(plan, pathOf);
    const merged = plan.merged.map(({ name, shape }) => ({ name, shape }));
    const job = { provider: 'cpu' as const, threads: 1, base, models, merged, tasks };
    const { data } = tasks[task]!;
    const prepared: PreparedTask = await prepareTask(job, task, data!, 16);
    const reader = await openDataset(data!.path, data!.description);
    const own = await Forward.open(prepared, prepared.graph, job);
    try {
      const rows = Array.from({ length: 16 }, (_, row) => row);
      const weights = ({ tensor }: { tensor: string }) =>
        (model === 'base' ? base!.tensors[tensor] : undefined) ?? models[task]!.tensors[tensor]!;
      const cache = new WeightCache();
      const logits = await own.logits(await feedsOf(prepared, reader, rows), (binding) =>
        cache.get(weights(binding), binding.transposed),
      );
      return Float32Array.from(logits.data as Float32Array);
    } finally {
      await own.release();
      await reader.close();
    }
  }

  it('has the base’s logits at 0, and a fine-tuned model’s at 1', async () => {
    const step = await openStep(await zooMerge('adamerging', {}, { names }), await workFolder());
    const atBase = await step.logits(step.table(0));
    for (const task of names.keys()) {
      expectSame(atBase[task]!, await forward('base', task));
      const own = await step.logits(oneHot(step, task));
      expectSame(own[task]!, await forward('own', task));
    }
  });
});
