import { intAttribute, intsAttribute, tensorOf } from '@amalgam/onnx';
import { describe, it } from 'vitest';
import { batch, composed, distinct, given, int, ints, op, x } from './support/cases.js';
import { checkCase } from './support/check.js';

const F32 = { dtype: 'F32' } as const;
const axis = (value: number) => intAttribute('axis', value);

describe('a batch of a size that only a run decides, against central differences', () => {
  it.each([
    op('Add', [batch(x(2, 3)), x(3)]),
    op('Mul', [batch(x(2, 3)), x(1, 3)]),
    op('Mul', [batch(x(2, 3)), batch(x(2, 1))]),
    composed('an operand whose batch may be 1', [batch(x(2, 3)), x(2, 3)], (graph, [p, q]) =>
      graph.op('Mul', [p!, q!]),
    ),
    op('MatMul', [batch(x(2, 2, 3)), x(3, 2)]),
    op('MatMul', [batch(x(2, 2, 3)), batch(x(2, 3, 2))]),
    op('MatMul', [batch(x(2, 3)), x(3)]),
    op('Gemm', [batch(x(2, 3)), x(3, 2), x(2)]),
    op('LayerNormalization', [batch(x(2, 2, 3)), x(3), x(3)], [], F32),
    op('LayerNormalization', [batch(x(2, 2, 3)), x(3), x(3)]),
    op('Softmax', [batch(x(2, 3))]),
    op('ReduceMean', [batch(x(2, 3)), ints(0)]),
    op('ReduceMean', [batch(x(2, 3)), ints(-1)], [intAttribute('keepdims', 0)]),
    op('ReduceSum', [batch(x(2, 3))]),
    op('Transpose', [batch(x(2, 3))]),
    op('Flatten', [batch(x(2, 3, 2))]),
    op('Concat', [batch(x(2, 1, 3)), batch(x(2, 2, 3))], [axis(1)]),
    op('Concat', [batch(x(2, 3)), x(1, 3)], [axis(0)]),
    op('Gather', [batch(x(2, 3, 2)), int(0)], [axis(1)]),
    op('Gather', [batch(x(3, 2)), given(ints(2, -3, 2))]),
    op('Slice', [batch(x(2, 4)), ints(1), ints(3), ints(1)]),
    op('Slice', [batch(x(4, 3)), ints(-3), ints(-1), ints(0)]),
    op('Pad', [batch(x(2, 3)), ints(0, 1, 0, 2)]),
    op('GatherElements', [batch(x(2, 3)), given(ints(0, 2, 1, 1), [2, 2])], [axis(1)]),
    op('BatchNormalization', [batch(x(2, 2, 2)), x(2), x(2), x(2), { ...x(2), signed: false }]),
    op('GroupNormalization', [batch(x(2, 4, 2)), x(4), x(4)], [intAttribute('num_groups', 2)], { ...F32, opset: 21 }),
    op('Conv', [batch(x(2, 4, 4, 4)), x(6, 2, 3, 3), x(6)], [intAttribute('group', 2)], F32),
    op('Conv', [batch(x(2, 2, 4, 4)), x(3, 2, 2, 2)], [intsAttribute('strides', [2, 2])], F32),
    op('ConvTranspose', [batch(x(2, 2, 3)), x(2, 3, 2)], [], F32),
    op('MaxPool', [batch(distinct(2, 2, 4))], [intsAttribute('kernel_shape', [2])], F32),
    op('AveragePool', [batch(x(2, 2, 4))], [intsAttribute('kernel_shape', [2])], F32),
    op('GlobalAveragePool', [batch(x(2, 2, 4))], [], F32),
    composed('heads, by way of the batch’s size', [batch(x(2, 3, 4))], (graph, [value]) => {
      const list = (...values: number[]) => graph.constant(tensorOf('list', 'I64', [values.length], values));
      const size = graph.op('Gather', [graph.op('Shape', [value!]), list(0)]);
      const shape = graph.op('Concat', [size, list(3, 2, 2)], [axis(0)]);
      return graph.op('Transpose', [graph.op('Reshape', [value!, shape])], [intsAttribute('perm', [0, 2, 1, 3])]);
    }),
    composed('a class token, expanded to the batch', [x(1, 1, 3), batch(x(2, 2, 3))], (graph, [token, value]) => {
      const list = (...values: number[]) => graph.constant(tensorOf('list', 'I64', [values.length], values));
      const size = graph.op('Gather', [graph.op('Shape', [value!]), list(0)]);
      const tokens = graph.op('Expand', [token!, graph.op('Concat', [size, list(1, 3)], [axis(0)])]);
      return graph.op('Concat', [tokens, value!], [axis(1)]);
    }),
  ])('$name', checkCase);
});
