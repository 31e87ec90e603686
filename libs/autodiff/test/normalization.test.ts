import { floatAttribute, intAttribute, intsAttribute } from '@amalgam/onnx';
import { describe, it } from 'vitest';
import { composed, op, positive, x } from './support/cases.js';
import { checkCase } from './support/check.js';

const axis = (value: number) => intAttribute('axis', value);
const epsilon = floatAttribute('epsilon', 0.01);

describe('normalisations, against central differences', () => {
  it.each([
    op('LayerNormalization', [x(2, 4), x(4), x(4)]),
    op('LayerNormalization', [x(2, 4), x(4), x(4)], [], { dtype: 'F32' }),
    op('LayerNormalization', [x(2, 4), x(4)], [epsilon], { dtype: 'F32', opset: 17 }),
    op('LayerNormalization', [x(2, 2, 3), x(2, 3), x(2, 3)], [axis(1)]),
    op('LayerNormalization', [x(2, 2, 3), x(2, 3), x(3)], [axis(-2), epsilon], { dtype: 'F32', cpuOnly: true }),
    op('LayerNormalization', [x(2, 4), x(1), x(4)], [], { dtype: 'F32', cpuOnly: true }),
    op('RMSNormalization', [x(2, 4), x(4)], [], { opset: 23 }),
    op('RMSNormalization', [x(2, 2, 3), x(2, 3)], [axis(1), epsilon], { opset: 23, dtype: 'F32' }),
    composed(
      'the pattern of RMSNormalization',
      [x(2, 4), x(4)],
      (graph, [value, scale]) => {
        const square = graph.op('ReduceMean', [graph.op('Mul', [value!, value!])], [intsAttribute('axes', [-1])]);
        const inverse = graph.op('Reciprocal', [graph.op('Sqrt', [square])]);
        return graph.op('Mul', [graph.op('Mul', [value!, inverse]), scale!]);
      },
      { opset: 17 },
    ),
    op('BatchNormalization', [x(2, 3, 2), x(3), x(3), x(3), positive(3)]),
    op('BatchNormalization', [x(2, 2, 2, 2), x(2), x(2), x(2), positive(2)], [epsilon]),
    op('BatchNormalization', [x(3, 2), x(2), x(2), x(2), positive(2)], [], { dtype: 'F32' }),
    op('InstanceNormalization', [x(2, 2, 3), x(2), x(2)], [], { dtype: 'F32' }),
    op('InstanceNormalization', [x(1, 2, 2, 3), x(2), x(2)], [epsilon], { dtype: 'F32' }),
    op('GroupNormalization', [x(2, 4, 3), x(2), x(2)], [intAttribute('num_groups', 2)], { opset: 18, dtype: 'F32' }),
    op('GroupNormalization', [x(2, 4, 2, 2), x(4), x(4)], [intAttribute('num_groups', 2)], { opset: 21, dtype: 'F32' }),
    op('LpNormalization', [x(2, 4)], [], { dtype: 'F32' }),
    op('LpNormalization', [x(2, 4)], [axis(0), intAttribute('p', 2)]),
    op('LpNormalization', [x(2, 4)], [axis(1), intAttribute('p', 1)]),
  ])('$name', checkCase);
});
