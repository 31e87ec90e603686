import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { temporaryFolders } from '../../../test/support/folders.js';
import {
  encodeModel,
  graphOf,
  mergeGraphs,
  modelOf,
  rawTensor,
  readModel,
  sameTensor,
  tensorData,
  tensorOf,
  writeModel,
} from '../src/index.js';
import { info, node, numbers, run, smallModel, zooPath } from './helpers.js';

const makeFolder = temporaryFolders();
const part = (change = {}, prefix = 'p/', opset = 17) => ({
  graph: graphOf(smallModel(change, opset), prefix),
  prefix,
});

describe('several graphs as one', () => {
  it('give the logits of each, with the weights that they share once', async () => {
    const tasks = ['digits', 'shapes', 'blobs'];
    const graphs = await Promise.all(
      tasks.map(async (task) => graphOf(await readModel(zooPath(`${task}.onnx`)), task)),
    );
    const merged = await mergeGraphs(graphs.map((graph, i) => ({ graph, prefix: `${tasks[i]}/` })));
    // The zoo's encoders are fine-tuned one by one: what they share is what training did not touch.
    for (const name of merged.shared) expect(merged.graph.initializers.has(name)).toBe(true);
    const own = (i: number) => [...graphs[i]!.inputs.values()][0]!;
    const dims = [
      2,
      ...own(0)
        .type!.tensorType!.shape!.dim.slice(1)
        .map(({ dimValue }) => dimValue!),
    ];
    const data = (i: number) => ({
      dims,
      data: numbers(
        dims.reduce((a, b) => a * b, 1),
        i + 1,
      ),
    });
    const feeds = tasks.map((_, i) => [merged.names[i]!.get(own(i).name!)!, data(i)]);
    const results = await run(encodeModel(modelOf(merged.graph)), Object.fromEntries(feeds));
    for (const [i, task] of tasks.entries()) {
      const alone = await run(zooPath(`${task}.onnx`), { [own(i).name!]: data(i) });
      for (const [name, value] of Object.entries(alone)) expect(results[merged.names[i]!.get(name)!]).toEqual(value);
    }
  });

  it('keep equal weights once and others apart', async () => {
    const [one, two] = [part({}, 'a/'), part({}, 'b/')];
    two.graph.setInitializer(tensorOf('b', 'F32', [3], [7, 8, 9]));
    const { graph, names, shared } = await mergeGraphs([one, two]);
    expect(shared).toEqual(['w']);
    expect([...graph.initializers.keys()]).toEqual(['w', 'a/b', 'b/b']);
    expect(names[1]).toEqual(
      new Map([
        ['x', 'b/x'],
        ['y', 'b/y'],
        ['w', 'w'],
        ['b', 'b/b'],
      ]),
    );
    expect(graph.inputs.get('b/x')).toEqual(info('b/x', ['b/batch', 2]));
    expect(graph.nodes().map(({ name }) => name)).toContain('b/Relu-y');
  });

  it('read one input when they share it', async () => {
    const { graph } = await mergeGraphs([part({}, 'a/'), part({}, 'b/')], 'both', ['x']);
    expect([...graph.inputs.keys()]).toEqual(['x']);
    const x = { dims: [4, 2], data: numbers(8) };
    const expected = await run(encodeModel(smallModel()), { x });
    expect(await run(encodeModel(modelOf(graph)), { x })).toEqual({ 'a/y': expected['y'], 'b/y': expected['y'] });
  });

  it('compare weights in external files of different folders', async () => {
    const paths = [join(await makeFolder(), 'm.onnx'), join(await makeFolder(), 'm.onnx')];
    for (const path of paths) await writeModel(smallModel(), path, { externalData: { threshold: 1 } });
    const graphs = await Promise.all(paths.map(async (path) => graphOf(await readModel(path))));
    const merged = await mergeGraphs(graphs.map((graph, i) => ({ graph, prefix: `${i}/` })));
    expect(merged.shared).toEqual(['w', 'b']);
    const path = join(await makeFolder(), 'merged.onnx');
    await writeModel(modelOf(merged.graph), path, { externalData: { threshold: 1 } });
    const x = { dims: [4, 2], data: numbers(8) };
    const expected = await run(encodeModel(smallModel()), { x });
    expect((await run(path, { '0/x': x, '1/x': x }))['1/y']).toEqual(expected['y']);
  });

  it('are refused with different opsets', async () => {
    const merge = () => mergeGraphs([part({}, 'a/'), part({}, 'b/', 18)]);
    await expectError(merge, 'unsupported_graph', 'b/: has opset 18 of "ai.onnx", another graph of the merge has 17');
  });

  it('are refused with prefixes that clash', async () => {
    await expectError(() => mergeGraphs([part(), part()]), 'invalid_graph', '"p/x"');
  });

  it('are refused with shared inputs of different types', async () => {
    const other = part({ input: [info('x', ['batch', 5])] }, 'b/');
    await expectError(() => mergeGraphs([part({}, 'a/'), other], 'm', ['x']), 'invalid_graph', 'input "x" differs');
  });

  it('are refused with functions that differ', async () => {
    const withFunction = (op: string) => {
      const model = smallModel();
      const body = [node(op, ['p'], ['q'])];
      model.functions = [
        { name: 'F', domain: 'l', input: ['p'], output: ['q'], node: body, opsetImport: [{ version: 17 }] },
      ];
      return graphOf(model);
    };
    const parts = ['Neg', 'Abs'].map((op) => ({ graph: withFunction(op), prefix: op }));
    await expectError(() => mergeGraphs(parts), 'unsupported_graph', 'define the function ["l","F",""] differently');
    const { graph } = await mergeGraphs([parts[0]!, { graph: withFunction('Neg'), prefix: 'b' }]);
    expect(graph.shell.model.functions?.length).toBe(1);
  });

  it('are refused when there is none', async () => {
    await expectError(() => mergeGraphs([]), 'invalid_graph', 'there is no graph to merge');
  });
});

describe('tensors', () => {
  it('are the same by dtype, shape and bytes, however stored', async () => {
    const raw = tensorOf('a', 'F32', [2], [1, 2]);
    const typed = { dims: [2], dataType: 1, name: 'b', floatData: Float32Array.of(1, 2) };
    expect(await sameTensor(raw, typed)).toBe(true);
    expect(await sameTensor(raw, rawTensor('a', 'I32', [2], tensorData(raw).bytes))).toBe(false);
    expect(await sameTensor(raw, tensorOf('a', 'F32', [1, 2], [1, 2]))).toBe(false);
    expect(await sameTensor(raw, tensorOf('a', 'F32', [2], [1, 3]))).toBe(false);
    const text = (value: string) => ({ dims: [1], dataType: 8, stringData: [Buffer.from(value)] });
    expect([await sameTensor(text('a'), text('a')), await sameTensor(text('a'), text('b'))]).toEqual([true, false]);
  });
});
