import {
  domainOf,
  dtypeOfCode,
  getFloat,
  getInt,
  getInts,
  getTensor,
  hasAttribute,
  isExternal,
  isStringTensor,
  type NodeProto,
  numbersOf,
  type TensorProto,
} from '@amalgam/onnx';
import { isStatic, normalAxis, range, sliceIndices } from './types.js';
import type { Values } from './values.js';

/** Longer lists are data, not settings. */
const LONGEST = 2 ** 16;
/** How far a value is followed through the nodes that make it. */
const DEEPEST = 24;

const READABLE = new Set(['F32', 'F64', 'I64', 'I32', 'I16', 'I8', 'U64', 'U32', 'U16', 'U8', 'BOOL']);

/**
 * The elements of a value that is the same in every run: constants, and what exporters compute from them and from
 * static shapes by way of Shape, Gather, Concat and arithmetic on at most one axis, and what they cut and turn of
 * several. Null when it is not, or not seen to be.
 */
export function fixedNumbers(values: Values, value: string): number[] | null {
  const numbers = evaluated(values, value, 0);
  return numbers === null || numbers.some(Number.isNaN) ? null : numbers;
}

/** As far as they are known: NaN stands for what is not, such as the batch in a shape. */
function evaluated(values: Values, value: string, depth: number): number[] | null {
  const { graph } = values;
  const tensor = graph.inputs.has(value) ? undefined : graph.initializers.get(value);
  if (tensor !== undefined) return numbersOfTensor(tensor);
  const node = graph.producer(value);
  if (node === undefined || domainOf(node) !== '' || depth > DEEPEST) return null;
  const evaluate = EVALUATORS[node.opType ?? ''];
  if (evaluate === undefined || (rankOf(values, value) > 1 && !OF_ANY_RANK.has(node.opType ?? ''))) return null;
  const result = evaluate(node, (index) => evaluated(values, node.input[index] ?? '', depth + 1), values);
  return result !== null && result.length <= LONGEST ? result : null;
}

function rankOf(values: Values, value: string): number {
  return values.known(value)?.dims.length ?? 1;
}

/** The others are only followed for scalars and lists. */
const OF_ANY_RANK = new Set(['Constant', 'Identity', 'Squeeze', 'Unsqueeze', 'Reshape', 'Cast', 'Slice', 'Transpose']);

type Evaluate = (node: NodeProto, input: (index: number) => number[] | null, values: Values) => number[] | null;

const same: Evaluate = (_, input) => input(0);

const EVALUATORS: Readonly<Record<string, Evaluate>> = {
  Constant: (node) => {
    if (hasAttribute(node, 'value')) return numbersOfTensor(getTensor(node, 'value'));
    if (hasAttribute(node, 'value_ints')) return getInts(node, 'value_ints');
    if (hasAttribute(node, 'value_int')) return [getInt(node, 'value_int')];
    if (hasAttribute(node, 'value_float')) return [getFloat(node, 'value_float')];
    return null;
  },
  Identity: same,
  Squeeze: same,
  Unsqueeze: same,
  Reshape: same,
  Cast: (node, input, values) => {
    const from = values.known(node.input[0] ?? '');
    // A cast of floats to integers rounds.
    return from === undefined || from.dtype.startsWith('F') ? null : input(0);
  },
  Shape: (node, _, values) => {
    const dims = values.known(node.input[0] ?? '')?.dims;
    if (dims === undefined) return null;
    const part = dims.slice(getInt(node, 'start', 0), getInt(node, 'end', dims.length));
    return part.map((dim) => (typeof dim === 'number' ? dim : Number.NaN));
  },
  Size: (node, _, values) => {
    const dims = values.known(node.input[0] ?? '')?.dims;
    return dims !== undefined && isStatic(dims) ? [size(dims)] : null;
  },
  Gather: (node, input, values) => {
    const list = rankOf(values, node.input[0] ?? '') > 1 ? null : input(0);
    const picked = input(1)?.map((index) => (Number.isNaN(index) ? undefined : list?.at(index)));
    return list === null || picked === undefined || picked.includes(undefined) ? null : (picked as number[]);
  },
  Slice: (node, input, values) => {
    const dims = dimsOf(values, node.input[0] ?? '', input(0));
    const [list, start, end] = [input(0), input(1), input(2)];
    const given = (index: number, otherwise: number) => ((node.input[index] ?? '') === '' ? [otherwise] : input(index));
    const [axes, step] = [given(3, 0), given(4, 1)];
    if (list === null || dims === null || start?.length !== 1 || end?.length !== 1 || !axes || !step) return null;
    const numbers = start[0]! + end[0]! + axes[0]! + step[0]!;
    if (Number.isNaN(numbers)) return null;
    const axis = normalAxis(axes[0]!, dims.length);
    const picked = sliceIndices(dims[axis]!, start[0]!, end[0]!, step[0]!);
    const inner = size(dims.slice(axis + 1));
    return range(0, size(dims.slice(0, axis))).flatMap((outer) =>
      picked.flatMap((place) => {
        const from = (outer * dims[axis]! + place) * inner;
        return list.slice(from, from + inner);
      }),
    );
  },
  // Of matrices, which is how padding is turned round.
  Transpose: (node, input, values) => {
    const list = input(0);
    const dims = dimsOf(values, node.input[0] ?? '', list);
    const perm = getInts(node, 'perm', [1, 0]);
    if (list === null || dims?.length !== 2 || perm[0] !== 1) return null;
    const [rows, columns] = [dims[0]!, dims[1]!];
    return range(0, columns).flatMap((column) => range(0, rows).map((row) => list[row * columns + column]!));
  },
  Concat: (node, input) => {
    const parts = node.input.map((_, i) => input(i));
    return parts.some((part) => part === null) ? null : parts.flatMap((part) => part ?? []);
  },
  Range: (_, input) => {
    const [start, limit, step] = [input(0)?.[0], input(1)?.[0], input(2)?.[0]];
    if (start === undefined || limit === undefined || !step) return null;
    const count = Math.ceil((limit - start) / step);
    return !(count <= LONGEST) ? null : range(0, count).map((i) => start + i * step);
  },
  ConstantOfShape: (node, input) => {
    const shape = input(0);
    if (shape === null || shape.length > 1 || !((shape[0] ?? 1) <= LONGEST)) return null;
    const fill = hasAttribute(node, 'value') ? numbersOfTensor(getTensor(node, 'value')) : [0];
    return fill === null ? null : range(0, shape[0] ?? 1).map(() => fill[0] ?? 0);
  },
  Neg: (_, input) => input(0)?.map((a) => -a) ?? null,
  Add: pairwise((a, b) => a + b),
  Sub: pairwise((a, b) => a - b),
  Mul: pairwise((a, b) => a * b),
  // Of integers, towards zero; others are not settings.
  Div: (node, input, values) => {
    const whole = values.known(node.output[0] ?? '')?.dtype.startsWith('I') === true;
    return whole ? pairwise((a, b) => Math.trunc(a / b))(node, input, values) : null;
  },
};

function size(dims: readonly number[]): number {
  return dims.reduce((total, dim) => total * dim, 1);
}

/** The shape of a value whose elements are known; of a list, from those. */
function dimsOf(values: Values, value: string, elements: readonly number[] | null): readonly number[] | null {
  if (elements === null) return null;
  if (rankOf(values, value) <= 1) return [elements.length];
  const dims = values.known(value)?.dims ?? [];
  return isStatic(dims) && size(dims) === elements.length ? dims : null;
}

function pairwise(apply: (a: number, b: number) => number): Evaluate {
  return (_, input) => {
    const [a, b] = [input(0), input(1)];
    if (a === null || b === null) return null;
    if (a.length !== b.length && a.length !== 1 && b.length !== 1) return null;
    const length = a.length === 1 ? b.length : a.length;
    return range(0, length).map((i) => apply(a[a.length === 1 ? 0 : i]!, b[b.length === 1 ? 0 : i]!));
  };
}

function numbersOfTensor(tensor: TensorProto): number[] | null {
  const elements = size(tensor.dims);
  const dtype = isStringTensor(tensor) ? undefined : dtypeOfCode(tensor.dataType);
  if (elements > LONGEST || dtype === undefined || !READABLE.has(dtype) || isExternal(tensor)) return null;
  return numbersOf(tensor);
}
