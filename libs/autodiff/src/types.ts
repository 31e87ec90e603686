import { dtypeOfCode, isFloatDtype, type OnnxDtype, type ValueInfoProto } from '@amalgam/onnx';

/** A size, or the name of one that only a run decides: the same name is the same size everywhere. */
export type Dim = number | string;

export interface ValueType {
  dtype: OnnxDtype;
  dims: readonly Dim[];
}

/** What is known of a value beforehand: dtype as onnxruntime names it (`float32`), and dimensions. */
export interface GivenType {
  type: string;
  dims: readonly Dim[];
}

const RUNTIME_DTYPES: Readonly<Record<string, OnnxDtype>> = {
  float32: 'F32',
  float64: 'F64',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  int16: 'I16',
  int8: 'I8',
  uint64: 'U64',
  uint32: 'U32',
  uint16: 'U16',
  uint8: 'U8',
  bool: 'BOOL',
};

/** Gradients exist for these: the dtypes in which the runtime computes. */
export function isDifferentiable({ dtype }: ValueType): boolean {
  return isFloatDtype(dtype) && !dtype.startsWith('F8') && !dtype.startsWith('F4');
}

/** Undefined for strings and other dtypes that no rule has to know. Unnamed sizes are not kept apart here. */
export function typeOfGiven({ type, dims }: GivenType): ValueType | undefined {
  const dtype = RUNTIME_DTYPES[type];
  return dtype === undefined ? undefined : { dtype, dims };
}

/** The type that a file states; undefined when it does not state the rank. */
export function typeOfInfo(info: ValueInfoProto | undefined): ValueType | undefined {
  const tensor = info?.type?.tensorType;
  const dtype = dtypeOfCode(tensor?.elemType);
  if (tensor?.shape === undefined || dtype === undefined) return undefined;
  return { dtype, dims: tensor.shape.dim.map(({ dimValue, dimParam }) => dimValue ?? dimParam ?? '') };
}

export function sameDims(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** True when two shapes contradict each other: names may stand for any size. */
export function differ(a: readonly Dim[], b: readonly Dim[]): boolean {
  const apart = (dim: Dim, other: Dim | undefined) =>
    typeof dim === 'number' && typeof other === 'number' && dim !== other;
  return a.length !== b.length || a.some((dim, i) => apart(dim, b[i]));
}

export function isStatic(dims: readonly Dim[]): dims is readonly number[] {
  return dims.every((dim) => typeof dim === 'number');
}

/** The number of elements: a number, or a name that only stands for the product. */
export function product(dims: readonly Dim[]): Dim {
  if (isStatic(dims)) return dims.reduce((total, dim) => total * dim, 1);
  const size = dims.reduce<number>((total, dim) => (typeof dim === 'number' ? total * dim : total), 1);
  const names = dims.filter((dim) => typeof dim === 'string').sort();
  if (size === 0) return 0;
  return [...(size === 1 ? [] : [size]), ...names].join('*');
}

/** An axis as counted from the front. */
export function normalAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** `[start, …, end - 1]`. */
export function range(start: number, end: number): number[] {
  return Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);
}

/** The places `start`, `start + step`, … of an axis that Slice picks; bounds beyond the axis are moved to it. */
export function sliceIndices(size: number, start: number, end: number, step: number): number[] {
  const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));
  const from = start < 0 ? start + size : start;
  const to = end < 0 ? end + size : end;
  const [first, last] =
    step > 0 ? [clamp(from, 0, size), clamp(to, 0, size)] : [clamp(from, 0, size - 1), clamp(to, -1, size - 1)];
  return range(0, Math.ceil((last - first) / step)).map((i) => first + i * step);
}
