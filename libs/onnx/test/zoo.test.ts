import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { temporaryFolders } from '../../../test/support/folders.js';
import {
  between,
  constantsToInitializers,
  encodeModel,
  extract,
  graphOf,
  modelOf,
  readModel,
  removeDead,
  requireOpset,
  requireSupported,
  tensorData,
  writeModel,
} from '../src/index.js';
import { numbers, run, ZOO_MODELS, zooPath } from './helpers.js';

const makeFolder = temporaryFolders();

/** A batch for the zoo's only input. */
async function feedsOf(path: string) {
  const model = await readModel(path);
  const [input] = model.graph!.input;
  const dims = input!.type!.tensorType!.shape!.dim.map(({ dimValue }) => dimValue ?? 4);
  return { [input!.name!]: { dims, data: numbers(dims.reduce((a, b) => a * b, 1)) } };
}

describe.each(ZOO_MODELS)('zoo model %s', (file) => {
  const path = zooPath(file);

  it('is written back byte for byte, also by way of the graph', async () => {
    const bytes = await readFile(path);
    const model = await readModel(path);
    expect(Buffer.compare(encodeModel(model), bytes)).toBe(0);
    expect(Buffer.compare(encodeModel(modelOf(graphOf(model))), bytes)).toBe(0);
  });

  it('gives the same logits, bit for bit, rewritten, edited and with external data', async () => {
    const feeds = await feedsOf(path);
    const expected = await run(path, feeds);
    const folder = await makeFolder();
    const model = await readModel(path);

    await writeModel(model, join(folder, 'plain.onnx'));
    expect(await run(join(folder, 'plain.onnx'), feeds)).toEqual(expected);

    await writeModel(model, join(folder, 'external.onnx'), { externalData: { threshold: 64 } });
    expect(await run(join(folder, 'external.onnx'), feeds)).toEqual(expected);

    const graph = graphOf(model);
    constantsToInitializers(graph);
    removeDead(graph);
    for (const node of graph.nodes())
      for (const value of node.output)
        if (!graph.outputs.has(value)) graph.rename(value, graph.freshName(`renamed/${value}`));
    expect(graph.nodes().some(({ opType }) => opType === 'Constant')).toBe(false);
    expect(await run(encodeModel(modelOf(graph)), feeds)).toEqual(expected);
  });

  it('can be cut in two that give the same together', async () => {
    const feeds = await feedsOf(path);
    const expected = await run(path, feeds);
    const graph = graphOf(await readModel(path));
    const [input] = [...graph.inputs.keys()];
    const [output] = [...graph.outputs.keys()];
    const norms = graph.nodes().filter(({ opType }) => opType === 'LayerNormalization');
    const cut = norms.at(-1)!.output[0]!;
    // The old exporter leaves the types of intermediate values out.
    const typed = { name: cut, type: { tensorType: { elemType: 1 } } };
    const [head, tail] = [extract(graph, [input!], [cut]), extract(graph, [typed], [output!])];
    expect(head.size + tail.size).toBeLessThanOrEqual(graph.size);
    const middle = await run(encodeModel(modelOf(head)), feeds);
    expect(await run(encodeModel(modelOf(tail)), middle)).toEqual(expected);
  });

  it('is fit for gradients', async () => {
    const graph = graphOf(await readModel(path));
    requireOpset(graph);
    const nodes = between(graph, graph.initializers.keys(), graph.outputs.keys());
    expect(nodes.length).toBeGreaterThan(20);
    requireSupported(graph, nodes);
    for (const tensor of graph.initializers.values()) tensorData(tensor);
  });
});
