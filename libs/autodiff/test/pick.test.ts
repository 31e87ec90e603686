import { intAttribute, stringAttribute } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { sliceIndices } from '../src/types.js';
import { distinct, given, int, ints, op, shaped, x } from './support/cases.js';
import { checkCase } from './support/check.js';

const axis = (value: number) => intAttribute('axis', value);
const LAST = Number.MAX_SAFE_INTEGER;

describe('operators that pick elements, against central differences', () => {
  it.each([
    op('Slice', [x(4, 3), ints(1), ints(3)]),
    op('Slice', [x(4, 3), ints(0, 1), ints(LAST, LAST)]),
    op('Slice', [x(4, 5), ints(-3), ints(-1), ints(-1)]),
    op('Slice', [x(7), ints(1), ints(6), ints(0), ints(2)]),
    op('Slice', [x(6, 2), ints(-1), ints(-LAST), ints(0), ints(-1)]),
    op('Slice', [x(7, 2), ints(5), ints(0), ints(0), ints(-2)]),
    op('Slice', [x(5, 6), ints(0, 4), ints(5, 0), ints(0, 1), ints(3, -1)]),
    op('Slice', [x(4, 3), given(ints(1)), given(ints(3))], [], { mixed: true }),
    op('Slice', [x(2, 6), given(ints(4)), given(ints(0)), ints(1), given(ints(-2))], [], { mixed: true }),
    op('Gather', [x(4, 3), int(0)]),
    op('Gather', [x(2, 4, 3), int(-1)], [axis(1)]),
    op('Gather', [x(4, 3), ints(2)]),
    op('Gather', [x(5, 2), ints(3, 0, 4)]),
    op('Gather', [x(2, 5), shaped(ints(0, 2, 1, 4), 2, 2)], [axis(-1)]),
    op('Gather', [x(4, 3), ints(1, 2)]),
    op('Gather', [x(4, 3), ints(1, 1, -1)]),
    op('Gather', [x(2, 4), ints(0, 3, 0)], [axis(1)]),
    op('Gather', [x(5, 2), given(shaped(ints(0, 3, 3, -1), 2, 2))], [], { mixed: true }),
    op('Gather', [x(2, 3, 2), given(ints(2, 0, 2))], [axis(1)], { mixed: true }),
    op('Gather', [x(4, 2), given(int(-2))], [], { mixed: true }),
    op('GatherElements', [x(3, 3), shaped(ints(0, 2, 1, 1, 1, -1), 2, 3)]),
    op('GatherElements', [x(2, 3), shaped(ints(0, 2, 0, 1), 2, 2)], [axis(-1)]),
    op('TopK', [distinct(2, 4), ints(2)], [], { outputs: 2 }),
    op('TopK', [distinct(4, 2), ints(3)], [axis(0), intAttribute('largest', 0)], { outputs: 2 }),
    op('GatherND', [x(3, 2, 2), shaped(ints(0, 1, 2, 0, 0, 1), 3, 2)]),
    op('GatherND', [x(2, 3, 2), shaped(ints(1, 2), 2, 1)], [intAttribute('batch_dims', 1)]),
    op('ScatterElements', [x(3, 3), shaped(ints(1, 0, 2, 0, 2, 1), 2, 3), x(2, 3)]),
    op(
      'ScatterElements',
      [x(2, 4), shaped(ints(1, 1, 2, 0), 2, 2), x(2, 2)],
      [axis(1), stringAttribute('reduction', 'add')],
    ),
    op('ScatterND', [x(4, 2), shaped(ints(2, 0), 2, 1), x(2, 2)]),
    op('ScatterND', [x(4, 2), shaped(ints(2, 2), 2, 1), x(2, 2)], [stringAttribute('reduction', 'add')]),
  ])('$name', checkCase);
});

describe('sliceIndices', () => {
  it.each([
    [
      [5, 1, 3, 1],
      [1, 2],
    ],
    [
      [5, 0, LAST, 2],
      [0, 2, 4],
    ],
    [
      [5, -2, LAST, 1],
      [3, 4],
    ],
    [
      [5, -1, -LAST, -1],
      [4, 3, 2, 1, 0],
    ],
    [
      [5, LAST, 0, -2],
      [4, 2],
    ],
    [[5, 3, 1, 1], []],
    [[5, 1, 1, -1], []],
  ] as const)('size, start, end, step %j give %j', ([size, start, end, step], expected) => {
    expect(sliceIndices(size, start, end, step)).toEqual(expected);
  });
});
