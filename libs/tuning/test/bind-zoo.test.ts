import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { bindGraph } from '../src/bind.js';
import { checkpointFrom, graphFrom, readTensor, run, withReferences, ZOO } from './bind-support.js';

const { tasks, merged_tensors: names } = JSON.parse(readFileSync(`${ZOO}reference.json`, 'utf8')) as {
  tasks: string[];
  merged_tensors: string[];
};
const merged = new Set(names);
const base = checkpointFrom(`${ZOO}base.safetensors`);

describe.each(['', 'legacy/'])('the exports in zoo/vit6/%s', (folder) => {
  it.each(tasks)('of %s: every merged tensor is bound once, the head from the model', async (task) => {
    const graph = await graphFrom(`${ZOO}${folder}${task}.onnx`);
    const bound = await bindGraph(graph, base, checkpointFrom(`${ZOO}${task}.safetensors`), merged);

    expect(bound.unused).toEqual([]);
    const tensors = bound.bindings.map(({ tensor }) => tensor);
    expect(tensors.sort()).toEqual([...names, 'head.weight', 'head.bias'].sort());
    for (const { initializer, tensor, transposed, by, from } of bound.bindings) {
      expect([tensor, from]).toEqual([tensor, tensor.startsWith('head.') ? 'model' : 'base']);
      // What keeps its name is itself; the rest are matrices, which both exporters store transposed.
      expect([initializer, transposed, by]).toEqual(
        initializer === tensor ? [tensor, false, 'name'] : [initializer, true, 'content'],
      );
    }
    expect(bound.bindings.filter(({ transposed }) => transposed)).toHaveLength(30);
  });

  it('gives the same logits, to the bit, with the checkpoints’ tensors in place of its own', async () => {
    const graph = await graphFrom(`${ZOO}${folder}blobs.onnx`);
    const bound = await bindGraph(graph, base, checkpointFrom(`${ZOO}blobs.safetensors`), merged);
    const { dims, values } = readTensor(`${ZOO}blobs.unlabeled.safetensors`, 'pixel_values');
    const images = {
      pixel_values: { dims: [4, ...dims.slice(1)], values: values.subarray(0, (4 * values.length) / dims[0]!) },
    };
    expect(await run(await withReferences(bound), images)).toEqual(await run(graph, images));
  });
});
