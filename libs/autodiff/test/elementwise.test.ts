import { floatAttribute, type Graph, intAttribute, stringAttribute, tensorOf } from '@amalgam/onnx';
import { describe, it } from 'vitest';
import { bools, composed, distinct, floats, int, ints, op, positive, shaped, within, x } from './support/cases.js';
import { checkCase } from './support/check.js';

const f = floatAttribute;

describe('element by element, against central differences', () => {
  it.each([
    ...['Neg', 'Exp', 'Abs', 'Reciprocal', 'Sin', 'Cos'].map((type) => op(type, [x(2, 3)])),
    ...['Tan', 'Atan', 'Sinh', 'Cosh', 'Asinh'].map((type) => op(type, [x(2, 3)], [], { dtype: 'F32' })),
    ...['Tanh', 'Sigmoid', 'Softplus', 'Softsign', 'Relu', 'Identity'].map((type) => op(type, [x(2, 3)])),
    op('Log', [positive(4)]),
    op('Sqrt', [positive(4)]),
    op('Erf', [x(5)], [], { dtype: 'F32' }),
    op('Asin', [within(-0.8, 0.8, 5)], [], { dtype: 'F32' }),
    op('Acos', [within(-0.8, 0.8, 5)], [], { dtype: 'F32' }),
    op('Atanh', [within(-0.8, 0.8, 5)], [], { dtype: 'F32' }),
    op('Acosh', [within(1.5, 3, 5)], [], { dtype: 'F32' }),
    op('LeakyRelu', [x(6)], [f('alpha', 0.25)]),
    op('LeakyRelu', [x(6)]),
    ...[within(0.7, 2, 3), within(-2, -0.7, 3), within(-0.3, 0.3, 3)].map((operand) =>
      op('Shrink', [operand], [f('bias', 0.25), f('lambd', 0.5)], { dtype: 'F32' }),
    ),
    op('ThresholdedRelu', [within(-2, 0.2, 3)], [f('alpha', 0.5)], { dtype: 'F32' }),
    op('ThresholdedRelu', [within(0.7, 2, 3)], [f('alpha', 0.5)], { dtype: 'F32' }),
    op('Elu', [x(8)], [f('alpha', 0.75)]),
    op('Elu', [x(8)]),
    op('Selu', [x(8)]),
    op('Selu', [x(8)], [f('alpha', 1.5), f('gamma', 2)]),
    op('Celu', [x(8)], [f('alpha', 0.5)], { dtype: 'F32' }),
    op('HardSigmoid', [within(-1, 1, 6)], [f('alpha', 0.25), f('beta', 0.5)]),
    op('HardSigmoid', [within(3, 5, 3)]),
    op('Gelu', [x(6)], [], { opset: 20, dtype: 'F32' }),
    op('Gelu', [x(6)], [stringAttribute('approximate', 'tanh')], { opset: 20, dtype: 'F32' }),
    op('HardSwish', [within(-2.9, 2.9, 6)]),
    op('HardSwish', [within(3.2, 5, 3)]),
    op('Mish', [x(6)]),
    op('Swish', [x(6)], [], { opset: 24 }),
    op('Swish', [x(6)], [f('alpha', 1.5)], { opset: 24 }),
    op('Dropout', [x(2, 3)]),
    op('Dropout', [x(2, 3), floats([], 0.5), bools([], 0)]),
    op('PRelu', [x(2, 3), x(2, 3)]),
    op('PRelu', [x(2, 3, 2), x(3, 1)]),
    composed(
      'Cast to float32 and back',
      [x(4)],
      (graph, [value]) => {
        const narrow = graph.op('Cast', [value!], [intAttribute('to', 1)]);
        return graph.op('Cast', [graph.op('Mul', [narrow, narrow])], [intAttribute('to', 1)]);
      },
      { dtype: 'F32' },
    ),
    composed('CastLike', [x(4), floats([], 1)], (graph, [value, like]) => graph.op('CastLike', [value!, like!])),
    composed(
      'the exporter’s Gelu',
      [x(5)],
      (graph, [value]) => {
        const constant = (number: number) => graph.op('Cast', [scalar(graph, number)], [intAttribute('to', 1)]);
        const erf = graph.op('Erf', [graph.op('Div', [value!, constant(Math.SQRT2)])]);
        return graph.op('Mul', [graph.op('Mul', [value!, graph.op('Add', [erf, constant(1)])]), constant(0.5)]);
      },
      { dtype: 'F32' },
    ),
  ])('$name', checkCase);
});

describe('broadcast operands, against central differences', () => {
  it.each([
    ...['Add', 'Sub', 'Mul', 'Div'].flatMap((type) => [
      op(type, [x(2, 3), x(2, 3)]),
      op(type, [x(2, 3), x(3)]),
      op(type, [x(1), x(2, 3)]),
      op(type, [x(2, 1, 3), x(4, 1)]),
      op(type, [x(), x(2, 2)]),
    ]),
    composed('x times itself', [x(3)], (graph, [value]) => graph.op('Mul', [value!, value!])),
    composed('a value used three times', [x(3)], (graph, [value]) =>
      graph.op('Add', [graph.op('Mul', [value!, value!]), graph.op('Exp', [value!])]),
    ),
    op('Mod', [within(1, 1.3, 2, 3), within(0.7, 0.9, 3)], [intAttribute('fmod', 1)]),
    op('Mod', [within(-1.3, -1, 3), within(0.7, 0.9, 2, 1)], [intAttribute('fmod', 1)]),
    op('Pow', [positive(2, 3), x(2, 3)]),
    op('Pow', [positive(2, 3), x(3)]),
    op('Pow', [positive(3), x(2, 1)]),
    op('Pow', [x(2, 3), floats([], 2)]),
    op('Pow', [x(2, 3), floats([1, 1], 3)]),
    op('Pow', [x(2, 3), int(2)]),
    op('Pow', [x(2, 3), floats([3], 0, 1, 2)]),
    op('Pow', [positive(2, 3), floats([], 0.5)]),
    op('Pow', [x(3), floats([], 1)]),
    op('Pow', [x(3), floats([], 0)]),
    op('Pow', [x(3), floats([2, 1], 2, 3)]),
    op('Sum', [x(2, 3), x(3), x(2, 1)]),
    op('Sum', [x(2)]),
    op('Mean', [x(2, 3), x(3)], [], { dtype: 'F32' }),
    op('Max', [distinct(2, 3), x(3)]),
    op('Max', [x(3)]),
    op('Min', [distinct(2, 3), x(3), floats([], 0.1)]),
    composed('Max of a value and itself', [x(3)], (graph, [value]) => graph.op('Max', [value!, value!])),
    op('Where', [bools([2, 3], 1, 0, 0, 1, 1, 0), x(2, 3), x(2, 3)]),
    op('Where', [bools([3], 1, 0, 1), x(2, 1), x(2, 3)]),
    op('Where', [shaped(bools([2], 1, 0), 2, 1), x(), x(3)]),
    op('Clip', [distinct(9), floats([], -0.5), floats([], 0.5)]),
    op('Clip', [distinct(9), '', floats([], 0.5)]),
    op('Clip', [distinct(9), floats([], -0.5)]),
    op('Clip', [distinct(9)]),
    op('Clip', [distinct(9), within(-0.6, -0.5), within(0.5, 0.6)]),
    composed(
      'an integer way that ends',
      [x(3), ints(0)],
      (graph, [value, axis]) => {
        const largest = graph.op('ArgMax', [value!]);
        return graph.op('Mul', [value!, graph.op('Gather', [value!, graph.op('Sub', [largest, axis!])])]);
      },
      { mixed: true },
    ),
  ])('$name', checkCase);
});

function scalar(graph: Graph, value: number): string {
  return graph.constant(tensorOf('number', 'F64', [], [value]));
}
