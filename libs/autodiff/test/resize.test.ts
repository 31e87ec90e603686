import { floatAttribute, intAttribute, intsAttribute, stringAttribute } from '@amalgam/onnx';
import { describe, it } from 'vitest';
import { batch, floats, ints, op, x } from './support/cases.js';
import { checkCase } from './support/check.js';

const F32 = { dtype: 'F32' } as const;
const mode = (value: string) => stringAttribute('mode', value);
const places = (value: string) => stringAttribute('coordinate_transformation_mode', value);
const scales = (...values: number[]) => floats([values.length], ...values);

describe('Resize, against central differences', () => {
  it.each([
    op('Resize', [x(2, 1, 2, 3), '', scales(1, 1, 2, 2)], [], F32),
    op(
      'Resize',
      [x(1, 2, 3), '', scales(1, 1, 2.5)],
      [places('asymmetric'), stringAttribute('nearest_mode', 'floor')],
      F32,
    ),
    op('Resize', [x(1, 2, 4, 5), '', '', ints(1, 2, 3, 7)], [stringAttribute('nearest_mode', 'ceil')], F32),
    op('Resize', [x(1, 2, 3, 4), '', scales(1, 1, 1.5, 2)], [mode('linear')], F32),
    op('Resize', [x(1, 2, 4), '', '', ints(1, 2, 7)], [mode('linear'), places('align_corners')], F32),
    op('Resize', [x(1, 1, 2, 3, 2), '', '', ints(1, 1, 4, 3, 3)], [mode('linear')], { ...F32, cpuOnly: true }),
    op('Resize', [x(1, 2, 4, 3), '', '', ints(1, 2, 1, 5)], [mode('linear'), places('pytorch_half_pixel')], F32),
    op(
      'Resize',
      [x(1, 1, 3, 4), '', '', ints(1, 1, 5, 6)],
      [mode('cubic'), floatAttribute('cubic_coeff_a', -0.5)],
      F32,
    ),
    op('Resize', [x(1, 1, 4, 4), '', scales(1, 1, 0.6, 1.5)], [mode('cubic'), intAttribute('exclude_outside', 1)], F32),
    op('Resize', [x(1, 1, 6, 5), '', '', ints(1, 1, 3, 2)], [mode('linear'), intAttribute('antialias', 1)], F32),
    op('Resize', [x(1, 1, 3, 4), '', '', ints(5, 6)], [mode('linear'), intsAttribute('axes', [2, -1])], F32),
    op('Resize', [batch(x(2, 1, 2, 3)), '', scales(1, 1, 2, 2)], [mode('linear')], F32),
  ])('$name', checkCase);
});
