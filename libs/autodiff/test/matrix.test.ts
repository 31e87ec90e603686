import { floatAttribute, intAttribute, stringAttribute } from '@amalgam/onnx';
import { describe, expect, it } from 'vitest';
import { parseEquation } from '../src/rules/einsum.js';
import { op, x } from './support/cases.js';
import { checkCase } from './support/check.js';

const flags = (transA: number, transB: number) => [intAttribute('transA', transA), intAttribute('transB', transB)];
const equation = (text: string) => [stringAttribute('equation', text)];

describe('products of matrices, against central differences', () => {
  it.each([
    op('MatMul', [x(2, 3), x(3, 4)]),
    op('MatMul', [x(2, 2, 3), x(3, 4)]),
    op('MatMul', [x(2, 1, 2, 3), x(3, 2)]),
    op('MatMul', [x(2, 2, 3), x(2, 3, 4)]),
    op('MatMul', [x(2, 1, 2, 3), x(3, 3, 2)]),
    op('MatMul', [x(2, 3), x(2, 3, 2)]),
    op('MatMul', [x(1, 2, 3), x(3, 3, 2)]),
    op('MatMul', [x(3), x(3)]),
    op('MatMul', [x(3), x(3, 2)]),
    op('MatMul', [x(3), x(2, 3, 2)]),
    op('MatMul', [x(2, 3), x(3)]),
    op('MatMul', [x(2, 2, 3), x(3)]),
    op('Gemm', [x(2, 3), x(3, 4), x(4)], flags(0, 0)),
    op('Gemm', [x(3, 2), x(3, 4), x(2, 4)], flags(1, 0)),
    op('Gemm', [x(2, 3), x(4, 3), x(2, 1)], flags(0, 1)),
    op('Gemm', [x(3, 2), x(4, 3), x()], flags(1, 1)),
    op('Gemm', [x(3, 2), x(4, 3)], [...flags(1, 1), floatAttribute('alpha', 0.5)]),
    op('Gemm', [x(2, 3), x(3, 4), x(1, 4)], [floatAttribute('alpha', 2), floatAttribute('beta', 0.25)]),
    op('Einsum', [x(2, 3), x(3, 4)], equation('ij,jk->ik')),
    op('Einsum', [x(2, 3, 2), x(2, 4, 2)], equation('bid,bjd->bij')),
    op('Einsum', [x(2, 3), x(3, 4), x(4)], equation('ij,jk,k->i')),
    op('Einsum', [x(2, 3)], equation('ij->ji')),
    op('Einsum', [x(2, 3)], equation('ij->j')),
    op('Einsum', [x(2, 3), x(4)], equation('ij,k->i')),
    op('Einsum', [x(3, 2), x(3)], equation('ba, b')),
    op('Einsum', [x(2, 2, 3), x(2, 3, 2)], equation('...ij,...jk->...ik')),
    op('Einsum', [x(2, 3), x(3, 2)], equation('...j,jk')),
  ])('$name', checkCase);
});

describe('equations of Einsum', () => {
  it('imply the letters that are there once, in order', () => {
    expect(parseEquation('ba, bc', [2, 2])).toEqual({ operands: ['ba', 'bc'], result: 'ac' });
  });

  it('have an ellipsis written out in letters of its own', () => {
    expect(parseEquation('A...i,...->A...', [3, 1])).toEqual({ operands: ['ABi', 'B'], result: 'AB' });
    expect(parseEquation('...i,...i', [3, 3])).toEqual({ operands: ['ABi', 'ABi'], result: 'AB' });
  });

  it('are not understood when an ellipsis has two lengths', () => {
    expect(parseEquation('...i,...i->...', [3, 2])).toBeNull();
  });
});
