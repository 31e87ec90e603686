import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tuneMerge } from '../src/tune.js';
import { FIXTURES, readTensor } from './bind-support.js';
import { workFolder } from './support/folders.js';
import { writeTensors } from './support/small-merge.js';
import { openStep } from './support/stepping.js';
import { type Merge, openMerge } from './support/zoo.js';

const FOLDER = join(FIXTURES, 'resnet');
const { coefficient, entropy, gradient } = JSON.parse(readFileSync(join(FOLDER, 'reference.json'), 'utf8')) as {
  coefficient: number;
  entropy: number;
  gradient: Record<string, number>;
};

/** The residual network of the fixtures, whose exporters folded its batch normalizations into the weights before them. */
async function resnet(graph: string, folder: string): Promise<Merge> {
  const { dims, values } = readTensor(join(FOLDER, 'reference.safetensors'), 'input');
  const data = join(folder, 'images.safetensors');
  await writeTensors(data, { input: { shape: dims, values } });
  const model = join(FOLDER, 'tuned.safetensors');
  return openMerge({
    method: 'adamerging',
    base: join(FOLDER, 'base.safetensors'),
    models: [{ model }],
    parameters: { steps: 3, batch_size: dims[0], learning_rate: 0.05, sampling: 'sequential' },
    tasks: [{ name: 'images', model, graph: join(FOLDER, graph), data }],
  });
}

describe.each(['dynamo.onnx', 'legacy.onnx', 'dynamo-tuned.onnx'])('a residual network, %s', (graph) => {
  it('has PyTorch’s loss and gradient, running statistics included', async () => {
    const folder = await workFolder();
    const step = await openStep(await resnet(graph, folder), folder);
    const found = await step.run(step.table(coefficient));
    expect(Math.abs(found.losses[0]! - entropy) / entropy).toBeLessThan(1e-4);
    const largest = Math.max(...Object.values(gradient).map(Math.abs));
    expect(Object.keys(gradient).sort()).toEqual([...step.tensors].sort());
    for (const [row, tensor] of step.tensors.entries()) {
      expect(Math.abs(found.gradient[row]![0]! - gradient[tensor]!) / largest, tensor).toBeLessThan(1e-4);
    }
  });

  it('is learned', async () => {
    const folder = await workFolder();
    const merge = await resnet(graph, folder);
    const { report } = await tuneMerge(merge.plan, { ...merge, workDir: folder, provider: 'cpu', threads: 1 });
    expect(report.loss).toHaveLength(3);
    expect(Math.abs(report.loss[0]! - entropy) / entropy).toBeLessThan(1e-4);
    expect(report.loss[2]!).toBeLessThan(report.loss[0]!);
  });
});
