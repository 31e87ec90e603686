import { intAttribute, intsAttribute } from '@amalgam/onnx';
import { describe, it } from 'vitest';
import { composed, distinct, int, ints, op, positive, within, x } from './support/cases.js';
import { checkCase } from './support/check.js';

const axes = (...values: number[]) => intsAttribute('axes', values);
const keep = (value: number) => intAttribute('keepdims', value);

describe('reductions, against central differences', () => {
  it.each([
    op('ReduceSum', [x(2, 3)]),
    op('ReduceSum', [x(2, 3), ints(0)], [keep(0)]),
    op('ReduceSum', [x(2, 3, 2), ints(-1, 0)]),
    op('ReduceSum', [x(2, 3), ints()], [intAttribute('noop_with_empty_axes', 1)], { opset: 16 }),
    op('ReduceSum', [x(2, 3), ints()], [keep(0)], { opset: 16 }),
    op('ReduceMean', [x(2, 3)], [keep(0)]),
    op('ReduceMean', [x(2, 3, 2), ints(-2)], [keep(0)]),
    op('ReduceMean', [x(2, 3, 2)], [axes(-2)], { opset: 17 }),
    op('ReduceMean', [x(2, 3, 2)], [axes(0, 2), keep(0)], { opset: 16 }),
    op('ReduceMax', [distinct(2, 4), ints(1)]),
    op('ReduceMax', [distinct(2, 4)], [axes(-1), keep(0)], { opset: 17 }),
    op('ReduceMin', [distinct(3, 2), ints(0)], [keep(0)]),
    op('ReduceL1', [x(2, 3), ints(1)], [keep(0)], { dtype: 'F32' }),
    op('ReduceProd', [x(2, 3), ints(1)], [keep(0)], { dtype: 'F32' }),
    op('ReduceProd', [x(2, 3)], [axes(0)], { opset: 16, dtype: 'F32' }),
    op('ReduceL2', [x(2, 3), ints(-1)], [], { dtype: 'F32' }),
    op('ReduceL2', [x(2, 3)], [axes(0), keep(0)], { opset: 16, dtype: 'F32' }),
    op('ReduceSumSquare', [x(2, 3), ints(1)]),
    op('ReduceLogSum', [positive(2, 3), ints(1)], [], { dtype: 'F32' }),
    op('ReduceLogSumExp', [x(2, 3), ints(1)], [keep(0)]),
    op('CumSum', [x(2, 4), int(1)]),
    op('CumSum', [x(2, 4), int(-1)], [intAttribute('reverse', 1)]),
    op('CumSum', [x(3, 2), int(0)], [intAttribute('exclusive', 1)]),
    ...[1, 2].map((zeros) =>
      composed(
        `a product with zeros: ${zeros}`,
        [x(2, 3), within(0, 0, 2, zeros)],
        (graph, parts) => graph.op('ReduceProd', [graph.op('Concat', parts, [intAttribute('axis', 1)])], [axes(1)]),
        { opset: 17, dtype: 'F32' },
      ),
    ),
    composed(
      'a norm as CLIP has it',
      [x(2, 4), ints(-1)],
      (graph, [value, axis]) => graph.op('Div', [value!, graph.op('ReduceL2', [value!, axis!])]),
      { dtype: 'F32' },
    ),
  ])('$name', checkCase);
});

describe('softmax, against central differences', () => {
  it.each([
    op('Softmax', [x(2, 4)]),
    op('Softmax', [x(2, 3, 2)], [intAttribute('axis', 1)]),
    op('Softmax', [x(3, 2)], [intAttribute('axis', -2)], { opset: 16 }),
    op('LogSoftmax', [x(2, 4)]),
    op('LogSoftmax', [x(2, 3, 2)], [intAttribute('axis', 0)]),
    composed('entropy', [x(2, 4), ints(-1)], (graph, [logits, axis]) => {
      const log = graph.op('LogSoftmax', [logits!]);
      return graph.op('ReduceSum', [graph.op('Mul', [graph.op('Exp', [log]), log]), axis!]);
    }),
  ])('$name', checkCase);
});
