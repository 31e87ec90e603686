import { floatAttribute, type Graph, intAttribute, intsAttribute, tensorOf } from '@amalgam/onnx';
import { describe, it } from 'vitest';
import { bools, composed, floats, given, op, x } from './support/cases.js';
import { checkCase } from './support/check.js';

const heads = (query: number, key: number) => [intAttribute('q_num_heads', query), intAttribute('kv_num_heads', key)];
const OPTIONS = { opset: 23, dtype: 'F32' } as const;

describe('Attention, against central differences', () => {
  it.each([
    op('Attention', [x(2, 2, 3, 2), x(2, 2, 4, 2), x(2, 2, 4, 3)], [], OPTIONS),
    op('Attention', [x(1, 2, 4), x(1, 3, 4), x(1, 3, 4)], heads(2, 2), OPTIONS),
    op('Attention', [x(1, 4, 3, 2), x(1, 2, 3, 2), x(1, 2, 3, 2)], [], OPTIONS),
    op('Attention', [x(1, 2, 8), x(1, 3, 4), x(1, 3, 4)], heads(4, 2), OPTIONS),
    op('Attention', [x(1, 1, 3, 2), x(1, 1, 3, 2), x(1, 1, 3, 2)], [intAttribute('is_causal', 1)], OPTIONS),
    op('Attention', [x(1, 1, 2, 2), x(1, 1, 3, 2), x(1, 1, 3, 2), floats([2, 3], 0, 1, -1, 0.5, 0, 2)], [], OPTIONS),
    op('Attention', [x(1, 1, 2, 2), x(1, 1, 3, 2), x(1, 1, 3, 2), given(bools([2, 3], 1, 1, 0, 0, 1, 1))], [], OPTIONS),
    op(
      'Attention',
      [x(1, 1, 2, 2), x(1, 1, 3, 2), x(1, 1, 3, 2)],
      [floatAttribute('scale', 0.75), floatAttribute('softcap', 1.5)],
      OPTIONS,
    ),
  ])('$name', checkCase);
});

/** Queries, keys and values of one product, [batch, length, 3 heads width]. */
describe('attention as exporters write it, against central differences', () => {
  it.each([
    composed('heads picked out of one tensor, scaled before the product', [x(1, 3, 12)], (graph, [packed]) => {
      const int64 = (...values: number[]) => graph.setInitializer(vector(graph.freshName('shape'), values));
      const parted = graph.op('Reshape', [packed!, int64(1, 3, 3, 2, 2)]);
      const turned = graph.op('Transpose', [parted], [intsAttribute('perm', [2, 0, 3, 1, 4])]);
      const [query, key, value] = [0, 1, 2].map((i) =>
        graph.op('Gather', [turned, scalarInt(graph, i)], [intAttribute('axis', 0)]),
      );
      const scale = graph.op('Sqrt', [graph.op('CastLike', [scalarFloat(graph, Math.SQRT1_2), packed!])]);
      const scaled = graph.op('Mul', [query!, scale]);
      const keys = graph.op('Mul', [graph.op('Transpose', [key!], [intsAttribute('perm', [0, 1, 3, 2])]), scale]);
      const weights = graph.op('Softmax', [graph.op('MatMul', [scaled, keys])], [intAttribute('axis', -1)]);
      const mixed = graph.op(
        'Transpose',
        [graph.op('MatMul', [weights, value!])],
        [intsAttribute('perm', [0, 2, 1, 3])],
      );
      return graph.op('Reshape', [mixed, int64(1, 3, 4)]);
    }),
    composed(
      'scores divided and masked, with what the exporter puts against rows that see nothing',
      [x(1, 2, 3, 2), x(1, 2, 3, 2), x(1, 2, 3, 2), floats([3, 3], 0, -1e9, -1e9, 0, 0, -1e9, 0, 0, 0)],
      (graph, [query, key, value, mask]) => {
        const keys = graph.op('Transpose', [key!], [intsAttribute('perm', [0, 1, 3, 2])]);
        const divisor = graph.op('CastLike', [scalarFloat(graph, Math.SQRT2), query!]);
        const scores = graph.op('Add', [graph.op('Div', [graph.op('MatMul', [query!, keys]), divisor]), mask!]);
        const weights = graph.op('Softmax', [scores], [intAttribute('axis', 3)]);
        const none = graph.op('CastLike', [scalarFloat(graph, 0), query!]);
        const safe = graph.op('Where', [graph.op('IsNaN', [weights]), none, weights]);
        return graph.op('MatMul', [safe, value!]);
      },
    ),
  ])('$name', checkCase);
});

const vector = (name: string, values: number[]) => tensorOf(name, 'I64', [values.length], values);
const scalarInt = (graph: Graph, value: number) => graph.constant(tensorOf('index', 'I64', [], [value]));
const scalarFloat = (graph: Graph, value: number) => graph.constant(tensorOf('number', 'F64', [], [value]));
