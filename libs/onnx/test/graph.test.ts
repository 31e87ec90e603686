import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import {
  ancestors,
  between,
  constantsToInitializers,
  descendants,
  encodeModel,
  extract,
  floatAttribute,
  getFloat,
  getInt,
  getInts,
  getString,
  getTensor,
  graphAttribute,
  graphOf,
  intAttribute,
  intsAttribute,
  type ModelProto,
  modelOf,
  type NodeProto,
  removeDead,
  stringAttribute,
  tensorAttribute,
  tensorOf,
} from '../src/index.js';
import { info, node, numbers, run, smallModel } from './helpers.js';

const feeds = { x: { dims: [4, 2], data: numbers(8) } };
const names = (nodes: Iterable<NodeProto>) => [...nodes].map(({ output }) => output[0]);
const result = async (model: ModelProto) => (await run(encodeModel(model), feeds))['y'];

/** y = relu(a), where a body adds b to a, which it reads from outside. */
function withBody(): ModelProto {
  const branch = (op: string, output: string) => ({
    name: op,
    node: [node(op, ['a', 'b'], [output])],
    initializer: [],
    input: [],
    output: [info(output, ['batch', 3])],
    valueInfo: [],
  });
  const model = smallModel();
  const { node: nodes, initializer } = model.graph!;
  nodes.pop();
  initializer.push(tensorOf('c', 'BOOL', [], [1]));
  const attribute = [
    graphAttribute('then_branch', branch('Add', 'sum')),
    graphAttribute('else_branch', branch('Sub', 'difference')),
  ];
  nodes.push(node('If', ['c'], ['picked'], { attribute }), node('Relu', ['picked'], ['y']));
  return model;
}

describe('a graph', () => {
  it('knows producers, consumers, inputs, outputs and opsets', () => {
    const graph = graphOf(smallModel());
    expect(graph.producer('a')!.opType).toBe('Add');
    expect(graph.producer('w')).toBeUndefined();
    expect(names(graph.consumers('xw'))).toEqual(['a']);
    expect([graph.isUsed('y'), graph.isUsed('none'), graph.isDefined('w')]).toEqual([true, false, true]);
    expect([[...graph.inputs.keys()], [...graph.outputs.keys()]]).toEqual([['x'], ['y']]);
    expect([graph.opset(), graph.opset('ai.onnx'), graph.opset('com.microsoft')]).toEqual([17, 17, undefined]);
    expect(graph.typeOf('a')).toEqual(info('a', ['batch', 3]));
  });

  it('sorts nodes that come in another order, and keeps an order that is right', () => {
    const model = smallModel();
    expect(names(graphOf(model).nodes())).toEqual(['xw', 'a', 'y']);
    model.graph!.node.reverse();
    expect(names(graphOf(model).nodes())).toEqual(['xw', 'a', 'y']);
  });

  it('sorts a chain of 50 000 nodes', () => {
    const chain = Array.from({ length: 50_000 }, (_, i) => node('Neg', [i === 0 ? 'x' : `v${i}`], [`v${i + 1}`]));
    const graph = graphOf(smallModel({ node: chain.reverse(), output: [info('v50000', [])] }));
    expect(graph.nodes()[0]!.input).toEqual(['x']);
  });

  it('is written as it was read, with everything that it does not know', () => {
    const model = withBody();
    const extra: ModelProto = {
      ...model,
      docString: 'doc',
      metadataProps: [{ key: 'a', value: 'b' }],
      opsetImport: [
        { domain: 'ai.onnx', version: 17 },
        { domain: 'x', version: 1 },
      ],
      trainingInfo: [{ updateBinding: [{ key: 'w', value: 'y' }] }],
      functions: [
        {
          name: 'F',
          domain: 'x',
          input: ['i'],
          output: ['o'],
          node: [node('Neg', ['i'], ['o'])],
          opsetImport: [{ version: 17 }],
        },
      ],
      unknown: [Uint8Array.of(0xd0, 0x0f, 1)],
      graph: { ...model.graph!, docString: 'g', quantizationAnnotation: [{ tensorName: 'w' }], metadataProps: [] },
    };
    const before = encodeModel(extra);
    const graph = graphOf(extra);
    expect(encodeModel(modelOf(graph))).toEqual(before);
    graph.rename('a', 'renamed');
    graph.op('Neg', ['renamed']);
    expect(encodeModel(extra)).toEqual(before);
  });

  it('gives fresh names, apart from all there are', () => {
    const graph = graphOf(withBody());
    expect(graph.freshName('z')).toBe('z');
    expect(graph.freshName('z')).toBe('z_1');
    expect(graph.freshName('w')).toBe('w_1');
    expect(graph.freshName('sum')).toBe('sum_1');
    expect(graph.freshName('')).toBe('_1');
  });

  it('keeps equal constants once', () => {
    const graph = graphOf(smallModel());
    const one = graph.constant(tensorOf('half', 'F32', [1], [0.5]));
    expect(graph.constant(tensorOf('other', 'F32', [1], [0.5]))).toBe(one);
    expect(graph.constant({ dims: [1], dataType: 1, floatData: Float32Array.of(0.5) })).toBe(one);
    expect(graph.constant(tensorOf('half', 'F32', [], [0.5]))).toBe('half_1');
    expect(graph.constant(tensorOf('half', 'F64', [1], [0.5]))).toBe('half_2');
    graph.removeInitializer(one);
    expect(graph.constant(tensorOf('new', 'F32', [1], [0.5]))).toBe('new');
    // Weights of the model are not constants, whatever their values.
    expect(graph.constant(tensorOf('b', 'F32', [3], [0.5, 0, -0.5]))).toBe('b_1');
  });

  it('is edited: y = -relu(2 · a) / 2 · -1 is relu(a)', async () => {
    const graph = graphOf(smallModel());
    const relu = graph.producer('y')!;
    const two = graph.constant(tensorOf('two', 'F32', [], [2]));
    graph.setInput(relu, 0, graph.op('Mul', ['a', two]));
    graph.rename('y', 'doubled');
    const half = graph.op('Div', [graph.op('Neg', ['doubled']), two]);
    graph.outputs.clear();
    graph.addNode({ opType: 'Neg', inputs: [half], outputs: ['y'] });
    graph.addOutput('y');
    expect(await result(modelOf(graph))).toEqual(await result(smallModel()));
    expect(graph.nodes().map(({ name }) => name)).toContain('Neg_1');
  });

  it('replaces uses, but not the output of the graph, and not for nodes that are kept', async () => {
    const graph = graphOf(smallModel());
    const zero = graph.op('Sub', ['a', 'a']);
    const sum = graph.op('Add', ['a', zero]);
    graph.replaceUses('a', sum, new Set([graph.producer(zero)!, graph.producer(sum)!]));
    expect(graph.producer('y')!.input).toEqual([sum]);
    expect(await result(modelOf(graph))).toEqual(await result(smallModel()));
    graph.replaceUses('y', 'a');
    expect([...graph.outputs.keys()]).toEqual(['y']);
  });

  it('gives optional outputs a name', async () => {
    const scale = tensorOf('scale', 'F32', [3], [1, 2, 3]);
    const model = smallModel();
    model.graph!.node[2] = node('LayerNormalization', ['a', 'scale'], ['y'], { attribute: [intAttribute('axis', -1)] });
    model.graph!.initializer.push(scale);
    const graph = graphOf(model);
    const norm = graph.producer('y')!;
    const inverse = graph.outputOf(norm, 2);
    expect(norm.output).toEqual(['y', '', inverse]);
    expect([graph.outputOf(norm, 0), graph.outputOf(norm, 2), graph.producer(inverse)]).toEqual(['y', inverse, norm]);
    graph.addOutput(info(inverse, ['batch', 1]));
    const outputs = await run(encodeModel(modelOf(graph)), feeds);
    expect(outputs[inverse]!.dims).toEqual([4, 1]);
    expect(outputs['y']).toEqual(await result(model));
  });

  it('follows bodies: what they read is used, renamed and sorted with their node', async () => {
    const model = withBody();
    const expected = await result(model);
    model.graph!.node.reverse();
    const graph = graphOf(model);
    expect(names(graph.consumers('b')).sort()).toEqual(['a', 'picked']);
    graph.rename('a', 'renamed');
    graph.rename('b', 'bias');
    const picked = graph.producer('picked')!;
    expect(picked.attribute.map(({ g }) => g!.node[0]!.input)).toEqual(Array(2).fill(['renamed', 'bias']));
    expect(removeDead(graph)).toEqual({ nodes: 0, initializers: 0 });
    expect(await result(modelOf(graph))).toEqual(expected);
  });

  it('loses dead nodes and weights', async () => {
    const graph = graphOf(smallModel());
    const dead = graph.op('Neg', [graph.op('Mul', ['a', graph.constant(tensorOf('k', 'F32', [], [3]))])]);
    const used = graph.producer(dead)!;
    graph.valueInfo.set(dead, info(dead, []));
    await expectError(() => graph.removeNode(graph.producer(used.input[0]!)!), 'invalid_graph', 'is used');
    expect(removeDead(graph)).toEqual({ nodes: 2, initializers: 1 });
    expect(encodeModel(modelOf(graph))).toEqual(encodeModel(smallModel()));
  });

  it('turns Constant nodes into initializers', async () => {
    const constant = (output: string, name: string, value: object) =>
      node('Constant', [], [output], { attribute: [{ name, ...value }] });
    const graph = graphOf(
      smallModel({
        node: [
          constant('i', 'value_ints', { type: 7, ints: [2n ** 62n, -1n] }),
          constant('one', 'value_float', { type: 1, f: 0.25 }),
          constant('t', 'value', { type: 4, t: tensorOf('', 'F32', [1], [4]) }),
          constant('s', 'value_string', { type: 3, s: Buffer.from('text') }),
          node('Mul', ['x', 't'], ['xt']),
          node('Mul', ['xt', 'one'], ['y']),
        ],
      }),
    );
    const before = await result(modelOf(graph));
    expect(constantsToInitializers(graph)).toBe(3);
    expect(graph.nodes().map(({ opType }) => opType)).toEqual(['Constant', 'Mul', 'Mul']);
    expect(graph.initializers.get('i')!.int64Data).toEqual(BigInt64Array.of(2n ** 62n, -1n));
    expect(await result(modelOf(graph))).toEqual(before);
  });

  it('refuses edits that would break it', async () => {
    const graph = graphOf(smallModel());
    await expectError(() => graph.addNode({ opType: 'Neg', inputs: ['x'], outputs: ['a'] }), 'invalid_graph', '"a"');
    await expectError(() => graph.addNode({ opType: 'Neg', inputs: ['x'], outputs: ['w'] }), 'invalid_graph', '"w"');
    await expectError(() => graph.rename('a', 'b'), 'invalid_graph', '"b"');
    await expectError(() => graph.rename('none', 'c'), 'invalid_graph', 'there is no value "none"');
    await expectError(() => graph.addInput(info('a', [])), 'invalid_graph', '"a"');
    await expectError(() => graph.addOutput('y'), 'invalid_graph', 'is an output twice');
    await expectError(() => graph.setInput(node('Neg', ['x'], ['q']), 0, 'x'), 'invalid_graph', 'is not in the graph');
    graph.setInput(graph.producer('xw')!, 0, 'y');
    await expectError(() => graph.nodes(), 'invalid_graph', 'has a cycle', '"MatMul-xw" (MatMul)', '"Add-a" (Add)');
  });
});

describe('slices of a graph', () => {
  const model = smallModel();
  model.graph!.node.push(node('Neg', ['xw'], ['side']));
  const graph = graphOf(model);

  it('are what values depend on, and what depends on them', () => {
    expect(names(ancestors(graph, ['a']))).toEqual(['a', 'xw']);
    expect(names(ancestors(graph, ['y'], new Set(['a'])))).toEqual(['y']);
    expect(new Set(names(descendants(graph, ['xw'])))).toEqual(new Set(['a', 'y', 'side']));
    expect(names(between(graph, ['b'], ['y']))).toEqual(['a', 'y']);
    expect(names(between(graph, ['y'], ['x']))).toEqual([]);
  });

  it('are graphs of their own', async () => {
    const part = extract(graph, ['xw'], ['y']);
    expect([[...part.inputs.keys()], [...part.initializers.keys()], names(part.nodes())]).toEqual([
      ['xw'],
      ['b'],
      ['a', 'y'],
    ]);
    const weights = extract(graph, ['x', info('w', [2, 3])], ['a']);
    const w = { dims: [2, 3], data: Float32Array.of(1, -2, 3, 4, 5, -6) };
    const { a } = await run(encodeModel(modelOf(weights)), { ...feeds, w });
    const given = { xw: { dims: a!.dims, data: a!.data.map((value, i) => value - [0.5, 0, -0.5][i % 3]!) } };
    const { y } = await run(encodeModel(modelOf(part)), given);
    expect(y!.data.every((value, i) => Math.abs(value - Math.max(0, a!.data[i]!)) < 1e-6)).toBe(true);
  });

  it('refuse values that are not there, and outputs that need more inputs', async () => {
    await expectError(() => extract(graph, ['none'], ['y']), 'invalid_graph', 'the input "none" is not a value');
    await expectError(() => extract(graph, ['x'], ['none']), 'invalid_graph', 'the output "none" is not a value');
    await expectError(
      () => extract(graph, ['b'], ['y']),
      'invalid_graph',
      'it needs "x", which is not among the inputs',
    );
  });
});

describe('attributes', () => {
  const some = node('Some', [], ['y'], {
    attribute: [
      intAttribute('i', -3),
      intsAttribute('is', [1, 2]),
      floatAttribute('f', 0.5),
      stringAttribute('s', 'ä'),
      tensorAttribute('t', tensorOf('', 'F32', [], [1])),
      { name: 'end', ints: [2n ** 63n - 1n], type: 7 },
      { name: 'ref', refAttrName: 'outer', type: 2 },
      { name: 'empty', type: 7 },
    ],
  });

  it('are read by type, with the default of the operator', () => {
    expect([getInt(some, 'i'), getInts(some, 'is'), getFloat(some, 'f'), getString(some, 's')]).toEqual([
      -3,
      [1, 2],
      0.5,
      'ä',
    ]);
    expect(getTensor(some, 't').dims).toEqual([]);
    expect([getInts(some, 'end'), getInts(some, 'empty')]).toEqual([[Number.MAX_SAFE_INTEGER], []]);
    expect([getInt(some, 'none', 7), getInts(some, 'none', [1]), getString(some, 'none', 'd')]).toEqual([7, [1], 'd']);
  });

  it('are refused by name', async () => {
    await expectError(
      () => getInt(some, 'f'),
      'invalid_graph',
      '"Some-y" (Some): attribute "f" is of type FLOAT, not INT',
    );
    await expectError(() => getInt(some, 'none'), 'invalid_graph', 'attribute "none" is missing');
    await expectError(() => getInt(some, 'ref'), 'invalid_graph', 'refers to the attribute of a function');
  });
});
