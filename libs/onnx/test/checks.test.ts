import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/errors.js';
import {
  checkModel,
  graphAttribute,
  graphOf,
  intAttribute,
  type ModelProto,
  type NodeProto,
  readModel,
  requireOpset,
  requireSupported,
  tensorOf,
} from '../src/index.js';
import { encodeModel } from '../src/write.js';
import { info, node, smallModel } from './helpers.js';

const nodes = (...list: NodeProto[]) => smallModel({ node: list, output: [] });
const body = (change = {}) => ({
  name: 'body',
  node: [node('Neg', ['a'], ['inner'])],
  initializer: [],
  input: [],
  output: [info('inner', [])],
  valueInfo: [],
  ...change,
});
const withBody = (change: object): ModelProto => {
  const model = smallModel();
  model.graph!.initializer.push(tensorOf('c', 'BOOL', [], [1]));
  const attribute = [graphAttribute('then_branch', body(change)), graphAttribute('else_branch', body())];
  model.graph!.node.push(node('If', ['c'], ['picked'], { attribute }));
  return model;
};

describe('a model is refused', () => {
  const cases: [string, ModelProto, string][] = [
    ['without a graph', { opsetImport: [{ version: 17 }] }, 'm: there is no graph'],
    ['without opsets', { ...smallModel(), opsetImport: [] }, 'it imports no opset'],
    [
      'with an opset of no version',
      { ...smallModel(), opsetImport: [{ domain: 'd' }] },
      'the opset of "d" has no version',
    ],
    [
      'with a node of an opset that is not imported',
      nodes(node('F', ['x'], ['q'], { domain: 'd' })),
      '"F-q" (d.F): the model does not import the opset of "d"',
    ],
    ['with a node without an operator', nodes(node('', ['x'], ['q'])), 'has no operator'],
    [
      'with an undefined input of a node',
      nodes(node('Neg', ['none'], ['q'])),
      'node "Neg-q" (Neg): its input "none" is not defined',
    ],
    [
      'with a value of two nodes',
      nodes(node('Neg', ['x'], ['q']), node('Abs', ['x'], ['q'])),
      'node "Abs-q" (Abs): the output "q" is defined twice',
    ],
    ['with a node that makes an input', nodes(node('Neg', ['x'], ['x'])), 'the output "x" is defined twice'],
    ['with a node that makes a weight', nodes(node('Neg', ['x'], ['w'])), 'the output "w" is defined twice'],
    ['with an input twice', smallModel({ input: [info('x', []), info('x', [])] }), 'the input "x" is defined twice'],
    [
      'with a weight twice',
      smallModel({ initializer: [tensorOf('w', 'F32', [], [1]), tensorOf('w', 'F32', [], [1])] }),
      'the initializer "w" is defined twice',
    ],
    [
      'with a weight without a name',
      smallModel({ initializer: [tensorOf('', 'F32', [], [1])] }),
      'the initializer has no name',
    ],
    [
      'with an undefined output',
      smallModel({ output: [info('none', [])] }),
      'the output "none" is not a value of the graph',
    ],
    ['with an output twice', smallModel({ output: [info('y', []), info('y', [])] }), 'the output "y" is there twice'],
    [
      'with an attribute twice',
      nodes(node('Softmax', ['x'], ['q'], { attribute: [intAttribute('axis', 1), intAttribute('axis', 2)] })),
      'the attribute "axis" is there twice',
    ],
    [
      'with a cycle',
      nodes(node('Neg', ['r'], ['q']), node('Abs', ['q'], ['r'])),
      'm: the graph has a cycle, in which each needs the next: node "Neg-q" (Neg), node "Abs-r" (Abs)',
    ],
    [
      'with a node that reads itself',
      nodes(node('Neg', ['q'], ['q'])),
      'has a cycle, in which each needs the next: node "Neg-q" (Neg)',
    ],
    [
      'with a weight smaller than its shape',
      smallModel({ initializer: [{ dims: [1e9], dataType: 1, name: 'w' }] }),
      'm: initializers: tensor "w": has 0 numbers in floatData',
    ],
    [
      'with an undefined value in a body',
      withBody({ node: [node('Neg', ['none'], ['inner'])] }),
      '"Neg-inner" (Neg): its input "none" is not defined',
    ],
    [
      'with a value of the outside made again in a body',
      withBody({ node: [node('Neg', ['a'], ['y'])], output: [] }),
      'the output "y" is defined twice',
    ],
    [
      'with an undefined output of a body',
      withBody({ output: [info('none', [])] }),
      'the output "none" is not a value',
    ],
    [
      'with a function that reads what it does not have',
      {
        ...smallModel(),
        functions: [
          {
            name: 'F',
            domain: 'd',
            input: [],
            output: [],
            node: [node('Neg', ['x'], ['q'])],
            opsetImport: [{ version: 17 }],
          },
        ],
      },
      'm: function "d.F": node "Neg-q" (Neg): its input "x" is not defined',
    ],
  ];
  it.each(cases)('%s', async (_, model, part) => {
    await expectError(() => checkModel(model, 'm'), 'invalid_graph', part);
    if (model.graph !== undefined)
      await expectError(() => readModel(encodeModel(model), { name: 'm' }), 'invalid_graph', part);
  });

  it('with a cycle through a body', async () => {
    const model = withBody({ node: [node('Neg', ['after'], ['inner'])] });
    model.graph!.node.push(node('Abs', ['picked'], ['after']));
    await expectError(
      () => graphOf(model, 'm'),
      'invalid_graph',
      'has a cycle',
      '"If-picked" (If)',
      '"Abs-after" (Abs)',
    );
  });
});

describe('a model is allowed', () => {
  it('with a weight that is the default of an input', () =>
    checkModel(smallModel({ input: [info('x', []), info('w', [])] }), 'm'));

  it('with optional inputs and outputs left out', () => {
    checkModel(nodes(node('Clip', ['x', '', 'b'], ['q']), node('Dropout', ['x'], ['', ''])), 'm');
  });

  it('with the standard operators under their long name', () => {
    checkModel({ ...smallModel(), opsetImport: [{ domain: 'ai.onnx', version: 17 }] }, 'm');
    checkModel(nodes(node('Neg', ['x'], ['q'], { domain: 'ai.onnx' })), 'm');
  });

  it('with bodies that use the same names beside each other', () => checkModel(withBody({}), 'm'));
});

describe('for gradients', () => {
  const only = (made: NodeProto, change: Partial<ModelProto> = {}) => {
    const opsetImport = [{ version: 17 }, { domain: 'com.microsoft', version: 1 }, { domain: 'local', version: 3 }];
    return graphOf({ ...smallModel(), opsetImport, ...change, graph: nodes(made).graph! }, 'm');
  };
  const refusedNodes: [string, ReturnType<typeof only>, string][] = [
    [
      'fused attention',
      only(node('Attention', ['x'], ['q'], { domain: 'com.microsoft' })),
      'm: node "Attention-q" (com.microsoft.Attention), opset 1: is fused attention',
    ],
    [
      'fused multi-head attention',
      only(node('MultiHeadAttention', ['x'], ['q'], { domain: 'com.microsoft' })),
      '(com.microsoft.MultiHeadAttention), opset 1: is fused attention',
    ],
    [
      'other fused operators',
      only(node('SkipLayerNormalization', ['x'], ['q'], { domain: 'com.microsoft' })),
      'is an operator of onnxruntime’s own',
    ],
    [
      'custom operators',
      only(node('Mine', ['x'], ['q'], { domain: 'local' })),
      'node "Mine-q" (local.Mine), opset 3: is a custom operator (domain "local")',
    ],
    [
      'calls of the model’s functions',
      only(node('Mine', ['x'], ['q'], { domain: 'local' }), {
        functions: [
          { name: 'Mine', domain: 'local', input: ['p'], output: ['p'], node: [], opsetImport: [{ version: 17 }] },
        ],
      }),
      'calls a function that the model defines',
    ],
    ['Loop', only(node('Loop', ['x'], ['q'])), 'node "Loop-q" (Loop), opset 17: is control flow'],
    [
      'Scan',
      only(node('Scan', ['x'], ['q'], { name: '' })),
      'the node that makes "q" (Scan), opset 17: is control flow',
    ],
    ['If', graphOf(withBody({}), 'm'), '"If-picked" (If), opset 17: is control flow'],
  ];
  it.each(refusedNodes)('%s is refused by name', async (_, graph, part) => {
    await expectError(() => requireSupported(graph, graph.nodes()), 'unsupported_graph', part);
  });

  it('standard operators, attention of opset 23 among them, are not refused here', () => {
    const graph = only(node('Attention', ['x'], ['q']));
    requireSupported(graph, graph.nodes());
  });

  it('opset 16 or later is required', async () => {
    expect(requireOpset(graphOf(smallModel({}, 16)))).toBe(16);
    await expectError(
      () => requireOpset(graphOf(smallModel({}, 15), 'm')),
      'unsupported_graph',
      'm: it has opset 15; opset 16 or later',
    );
    const two = { ...smallModel(), opsetImport: [{ version: 13 }, { domain: 'ai.onnx', version: 18 }] };
    expect(requireOpset(graphOf(two))).toBe(18);
    const none = { ...nodes(), opsetImport: [{ domain: 'ai.onnx.ml', version: 3 }] };
    await expectError(
      () => requireOpset(graphOf(none, 'm')),
      'unsupported_graph',
      'does not import the standard operators',
    );
  });
});
