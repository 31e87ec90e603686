import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import { temporaryFolders } from '../../../test/support/folders.js';
import {
  describeGraph,
  encodeModel,
  graphAttribute,
  graphFiles,
  intAttribute,
  type ModelProto,
  readModel,
  type TypeProto,
  tensorOf,
  writeModel,
} from '../src/index.js';
import { info, node, smallModel, ZOO_MODELS, zooPath } from './helpers.js';

const makeFolder = temporaryFolders();

describe('a graph is described', () => {
  it('by its inputs, outputs and parts', () => {
    expect(describeGraph({ ...smallModel(), producerVersion: '1.2' })).toEqual({
      opset: 17,
      producer: 'test 1.2',
      inputs: [{ name: 'x', dtype: 'F32', shape: ['batch', 2] }],
      outputs: [{ name: 'y', dtype: 'F32', shape: ['batch', 3] }],
      nodes: 3,
      initializers: 2,
      parameters: 9,
      operators: { Add: 1, MatMul: 1, Relu: 1 },
      onPath: { y: ['Add', 'MatMul', 'Relu'] },
    });
  });

  it('by what lies between weights and each output', () => {
    const described = describeGraph(
      smallModel({
        node: [
          node('Exp', ['x'], ['fed']),
          node('MatMul', ['fed', 'w'], ['product']),
          node('Cast', ['product'], ['whole'], { attribute: [intAttribute('to', 7)] }),
          node('Neg', ['whole'], ['count']),
          node('Fancy', ['product'], ['y'], { domain: 'org.example' }),
          node('Sin', ['y'], ['unused']),
        ],
        output: [info('y', ['batch', 3]), info('count', ['batch', 3], 'I64'), info('fed', ['batch', 2])],
      }),
    );
    expect(described.onPath).toEqual({ y: ['MatMul', 'org.example.Fancy'], count: [], fed: [] });
  });

  it.each(ZOO_MODELS)('of the zoo: %s', async (file) => {
    const described = describeGraph(await readModel(zooPath(file)));
    const classes = { blobs: 6, digits: 10, location: 9, quadpair: 6, segments: 16, shapes: 6 }[
      file.replace(/^legacy\/|\.onnx$/g, '')
    ];
    expect(described).toMatchObject({
      opset: file.startsWith('legacy/') ? 17 : 20,
      inputs: [{ name: 'pixel_values', dtype: 'F32', shape: ['batch', 1, 32, 32] }],
      outputs: [{ name: 'logits', dtype: 'F32', shape: ['batch', classes] }],
    });
    expect(described.producer).toMatch(/^pytorch 2\.13\.0/);
    expect(described.operators['MatMul']).toBe(40);
    expect(JSON.parse(JSON.stringify(described))).toEqual(described);
  });

  it('with free dimensions, and without any that is known', () => {
    const free = { dim: [{}, { dimParam: '' }, { dimValue: -1 }, { dimParam: 'n' }, { dimValue: 4 }] };
    const input = [
      { name: 'x', type: { tensorType: { elemType: 7, shape: free } } },
      { name: 'z', type: { tensorType: { elemType: 9 } } },
    ];
    expect(describeGraph(smallModel({ input })).inputs).toEqual([
      { name: 'x', dtype: 'I64', shape: [null, null, null, 'n', 4] },
      { name: 'z', dtype: 'BOOL', shape: null },
    ]);
  });

  it('without the inputs that are weights, whose elements count when they are floats', () => {
    const model = smallModel({ input: [info('x', ['batch', 2]), info('w', [2, 3])] });
    model.graph!.initializer.push(tensorOf('axes', 'I64', [4], [0, 1, 2, 3]));
    model.graph!.initializer.push({ dims: [1], dataType: 8, name: 'text', stringData: [Buffer.from('a')] });
    expect(describeGraph(model)).toMatchObject({ inputs: [{ name: 'x' }], initializers: 4, parameters: 9 });
  });

  it('with the nodes of bodies, and operators of other domains', () => {
    const body = {
      name: 'body',
      node: [node('Neg', ['a'], ['inner']), node('Mine', ['inner'], ['out'], { domain: 'local' })],
      initializer: [],
      input: [],
      output: [info('out', [])],
      valueInfo: [],
    };
    const model = smallModel();
    model.graph!.node.push(node('If', ['c'], ['q'], { attribute: [graphAttribute('then_branch', body)] }));
    const { nodes, operators } = describeGraph(model);
    expect(nodes).toBe(6);
    expect(Object.entries(operators)).toEqual([
      ['Add', 1],
      ['If', 1],
      ['MatMul', 1],
      ['Neg', 1],
      ['Relu', 1],
      ['local.Mine', 1],
    ]);
  });

  it('without the standard operators, and with operators of any name', () => {
    const model = { ...smallModel(), opsetImport: [{ domain: 'local', version: 3 }] };
    model.graph!.node.push(node('__proto__', ['a'], ['q']));
    expect(describeGraph(model)).toMatchObject({ opset: null });
    expect(Object.keys(describeGraph(model).operators)).toContain('__proto__');
  });
});

describe('a graph is refused', () => {
  const withType = (type: TypeProto | undefined) => smallModel({ output: [{ name: 'y', type }] });
  const elemType = { tensorType: { elemType: 1 } };
  const cases: [string, ModelProto, 'invalid_graph' | 'unsupported_graph', string][] = [
    ['without a graph', { opsetImport: [] }, 'invalid_graph', 'm: there is no graph'],
    ['with an output without a type', withType(undefined), 'invalid_graph', 'm: the output "y" has no type'],
    ['with an output of an empty type', withType({}), 'invalid_graph', 'the output "y" has no type'],
    ['with a dtype that is none', withType({ tensorType: { elemType: 99 } }), 'invalid_graph', 'knows (99)'],
    ['without a dtype', withType({ tensorType: {} }), 'invalid_graph', 'the output "y" has no dtype'],
    ['with strings', withType({ tensorType: { elemType: 8 } }), 'unsupported_graph', 'holds strings'],
    ['with a sequence', withType({ sequenceType: { elemType } }), 'unsupported_graph', 'the output "y" is a sequence'],
    ['with a map', withType({ mapType: {} }), 'unsupported_graph', 'is a map'],
    ['with an optional value', withType({ optionalType: {} }), 'unsupported_graph', 'is an optional value'],
    ['with a sparse tensor', withType({ sparseTensorType: {} }), 'unsupported_graph', 'is a sparse tensor'],
    [
      'with an input that is a sequence',
      smallModel({ input: [{ name: 'x', type: { sequenceType: { elemType } } }] }),
      'unsupported_graph',
      'm: the input "x" is a sequence',
    ],
  ];
  it.each(cases)('%s', async (_, model, code, part) => {
    await expectError(() => describeGraph(model, 'm'), code, part);
  });
});

describe('the files of a graph', () => {
  const external = (location: string, offset: number, dims: number[]) => ({
    dims,
    dataType: 1,
    name: `${location}${offset}`,
    dataLocation: 1,
    externalData: [
      { key: 'location', value: location },
      { key: 'offset', value: String(offset) },
    ],
  });

  it('are those that its tensors name, with the bytes that they need', () => {
    const model = smallModel();
    model.graph!.initializer.push(
      external('b.bin', 0, [5]),
      external('a.bin', 64, [2]),
      external('b.bin', 4096, [2, 2]),
      external('b.bin', 100, [3]),
    );
    expect(graphFiles(model)).toEqual([
      { location: 'a.bin', bytes: 72 },
      { location: 'b.bin', bytes: 4112 },
    ]);
    expect(graphFiles(smallModel())).toEqual([]);
  });

  it('are found in a model as it is written', async () => {
    const path = `${await makeFolder()}/m.onnx`;
    await writeModel(smallModel(), path, { externalData: { threshold: 0, alignment: 64 } });
    expect(graphFiles(await readModel(path))).toEqual([{ location: 'm.onnx.data', bytes: 64 + 12 }]);
    expect(graphFiles(await readModel(encodeModel(smallModel())))).toEqual([]);
  });

  it('are refused where they lead out of the folder, or have no size', async () => {
    const refused = async (tensor: ReturnType<typeof external>, part: string) => {
      const model = smallModel();
      model.graph!.initializer.push(tensor);
      await expectError(() => graphFiles(model, 'm'), 'invalid_graph', 'm: initializers: tensor', part);
    };
    await refused(external('../b.bin', 0, [1]), 'leads out of the model’s folder');
    await refused(external('/b.bin', 0, [1]), 'is absolute');
    await refused(external('b.bin', -1, [1]), 'is not a whole number');
    await refused(external('b.bin', 0, [2 ** 52, 2 ** 52]), 'has more than 2^53 elements');
    await refused({ ...external('b.bin', 0, [1]), externalData: [] }, 'is external and names no file');
  });
});
