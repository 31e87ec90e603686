import { intAttribute, intsAttribute, stringAttribute } from '@amalgam/onnx';
import { describe, it } from 'vitest';
import { batch, distinct, ints, op, x } from './support/cases.js';
import { checkCase } from './support/check.js';

const strides = (...values: number[]) => intsAttribute('strides', values);
const dilations = (...values: number[]) => intsAttribute('dilations', values);
const pads = (...values: number[]) => intsAttribute('pads', values);
const kernel = (...values: number[]) => intsAttribute('kernel_shape', values);
const group = (value: number) => intAttribute('group', value);
const auto = (value: string) => stringAttribute('auto_pad', value);
const F32 = { dtype: 'F32' } as const;

describe('convolutions, against central differences', () => {
  it.each([
    op('Conv', [x(2, 2, 5), x(3, 2, 3), x(3)], [], F32),
    op('Conv', [x(1, 2, 7), x(2, 2, 3)], [strides(2), pads(1, 0)], F32),
    op('Conv', [x(2, 2, 4, 4), x(3, 2, 3, 3), x(3)], [pads(1, 1, 1, 1)], F32),
    op('Conv', [x(1, 1, 6, 5), x(2, 1, 3, 2)], [strides(2, 1), pads(1, 0, 0, 1)], F32),
    op('Conv', [x(1, 2, 6, 6), x(2, 2, 2, 2)], [dilations(2, 3), strides(2, 1)], F32),
    op('Conv', [x(2, 4, 4, 4), x(6, 2, 3, 3), x(6)], [group(2), pads(1, 1, 1, 1)], F32),
    op('Conv', [x(1, 3, 5, 5), x(3, 1, 3, 3)], [group(3), strides(2, 2)], F32),
    op('Conv', [x(2, 2, 5), x(4, 1, 2)], [group(2)], F32),
    op('Conv', [x(2, 2, 4, 4), x(4, 1, 2, 2)], [group(2)], F32),
    op('Conv', [x(2, 2, 4, 6), x(3, 2, 2, 3), x(3)], [strides(2, 3)], { ...F32, name: 'patches, side by side' }),
    op('Conv', [x(1, 2, 5, 7), x(3, 2, 2, 3)], [strides(2, 3)], { ...F32, name: 'patches that leave a rest' }),
    op('Conv', [x(2, 2, 3, 3), x(3, 2, 1, 1)], [], { ...F32, name: 'one by one' }),
    op('Conv', [x(1, 1, 5, 6), x(1, 1, 3, 3)], [auto('SAME_UPPER'), strides(2, 2)], F32),
    op('Conv', [x(1, 1, 5, 6), x(1, 1, 2, 2)], [auto('SAME_LOWER')], F32),
    op('Conv', [x(1, 1, 5, 5), x(1, 1, 3, 3)], [auto('VALID'), strides(2, 2), kernel(3, 3)], F32),
    op('ConvTranspose', [x(2, 2, 4), x(2, 3, 3), x(3)], [], F32),
    op('ConvTranspose', [x(1, 2, 3, 3), x(2, 2, 3, 3), x(2)], [strides(2, 2), pads(1, 1, 0, 1)], F32),
    op('ConvTranspose', [x(1, 2, 3, 2), x(2, 1, 2, 3)], [strides(3, 2), intsAttribute('output_padding', [1, 1])], F32),
    op('ConvTranspose', [x(1, 4, 3, 3), x(4, 2, 2, 2), x(4)], [group(2), dilations(2, 1)], F32),
    op('ConvTranspose', [x(1, 1, 3, 3), x(1, 2, 3, 3)], [strides(2, 2), auto('SAME_UPPER')], F32),
    op('ConvTranspose', [x(1, 1, 3, 3), x(1, 2, 3, 3)], [strides(2, 2), auto('SAME_LOWER')], F32),
    op('ConvTranspose', [x(1, 1, 3, 3), x(1, 2, 3, 3)], [strides(2, 2), intsAttribute('output_shape', [6, 6])], F32),
  ])('$name', checkCase);
});

describe('pooling, against central differences', () => {
  it.each([
    op('AveragePool', [x(2, 2, 5)], [kernel(2)], F32),
    op('AveragePool', [x(1, 2, 4, 4)], [kernel(2, 2), strides(2, 2)], F32),
    op('AveragePool', [x(1, 1, 4, 5)], [kernel(3, 3), pads(1, 1, 1, 1), strides(2, 2)], F32),
    op('AveragePool', [x(1, 1, 4, 5)], [kernel(3, 3), pads(1, 0, 1, 1), intAttribute('count_include_pad', 1)], F32),
    op('AveragePool', [x(1, 2, 5, 6)], [kernel(2, 2), dilations(2, 3)], { ...F32, opset: 19 }),
    op('AveragePool', [x(1, 1, 5, 5)], [kernel(2, 2), strides(2, 2), intAttribute('ceil_mode', 1)], {
      ...F32,
      opset: 19,
    }),
    op('AveragePool', [x(1, 1, 5, 5)], [kernel(3, 3), strides(2, 2), auto('SAME_UPPER')], F32),
    op('GlobalAveragePool', [x(2, 3, 2, 2)], [], F32),
    op('GlobalMaxPool', [distinct(2, 2, 3)], [], F32),
    op('MaxPool', [distinct(2, 2, 5)], [kernel(2)], F32),
    op('MaxPool', [distinct(1, 2, 4, 4)], [kernel(2, 2), strides(2, 2)], F32),
    op('MaxPool', [distinct(2, 2, 5, 5)], [kernel(3, 3), strides(2, 2), pads(1, 1, 1, 1)], F32),
    op('MaxPool', [distinct(1, 1, 6, 6)], [kernel(2, 2), dilations(2, 3), pads(1, 0, 0, 1)], F32),
    op('MaxPool', [distinct(1, 2, 5, 5)], [kernel(2, 2), strides(2, 2), intAttribute('ceil_mode', 1)], F32),
    op('MaxPool', [distinct(1, 1, 5, 5)], [kernel(3, 3), strides(2, 2), auto('SAME_LOWER')], F32),
  ])('$name', checkCase);
});

describe('Col2Im, against central differences', () => {
  it.each([
    op('Col2Im', [x(2, 4, 4), ints(4, 4), ints(2, 2)], [strides(2, 2)], F32),
    op('Col2Im', [x(1, 8, 9), ints(4, 4), ints(2, 2)], [], F32),
    op('Col2Im', [x(1, 6, 16), ints(4, 5), ints(2, 3)], [dilations(2, 1), pads(1, 0, 1, 1)], F32),
    op('Col2Im', [batch(x(2, 6, 4)), ints(8), ints(3)], [strides(2), pads(0, 1)], F32),
  ])('$name', checkCase);
});
