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
import { isStatic, range } from './types.js';
import type { Values } from './values.js';

/** Longer lists are data, not settings. */
const LONGEST = 2 ** 16;
/** How far a value is followed through the nodes that make it. */
const DEEPEST = 24;

const READABLE = new Set(['F32', 'F64', 'I64', 'I32', 'I16', 'I8', 'U64', 'U32', 'U16', 'U8', 'BOOL']);

/**
 * The elements of a value that is the same in every run: constants, and what exporters compute from them and from
 * static shapes by way of Shape, Gather, Slice, Concat and arithmetic on at most one axis. Null when it is not,
 * or not seen to be.
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
  const rank = values.known(value)?.dims.length ?? 1;
  if (evaluate === undefined || (rank > 1 && node.opType !== 'Constant')) return null;
  const result = evaluate(node, (index) => evaluated(values, node.input[index] ?? '', depth + 1), values);
  return result !== null && result.length <= LONGEST ? result : null;
}

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
    return dims !== undefined && isStatic(dims) ? [dims.reduce((total, dim) => total * dim, 1)] : null;
  },
  Gather: (_, input) => {
    const list = input(0);
    const picked = input(1)?.map((index) => (Number.isNaN(index) ? undefined : list?.at(index)));
    return list === null || picked === undefined || picked.includes(undefined) ? null : (picked as number[]);
  },
  Slice: (node, input) => {
    const [list, start, end] = [input(0), input(1), input(2)];
    const step = (node.input[4] ?? '') === '' ? [1] : input(4);
    if (list === null || start?.length !== 1 || end?.length !== 1 || step?.[0] !== 1) return null;
    return Number.isNaN(start[0]! + end[0]!) ? null : list.slice(start[0], end[0]);
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
  const elements = tensor.dims.reduce((total, dim) => total * dim, 1);
  const dtype = isStringTensor(tensor) ? undefined : dtypeOfCode(tensor.dataType);
  if (elements > LONGEST || dtype === undefined || !READABLE.has(dtype) || isExternal(tensor)) return null;
  return numbersOf(tensor);
}
