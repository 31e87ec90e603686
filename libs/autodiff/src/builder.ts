import {
  codeOfDtype,
  domainOf,
  floatAttribute,
  getInts,
  intAttribute,
  intsAttribute,
  type OnnxDtype,
  stringAttribute,
} from '@amalgam/onnx';
import { broadcastAxes, broadcastDims } from './broadcast.js';
import { type Dim, isStatic, normalAxis, product, range, sameDims } from './types.js';
import { Values } from './values.js';

/** A value of the graph, or a number that is a scalar of the other operand's dtype. */
export type Operand = string | number;

/**
 * Adds nodes of standard operators, whose types follow from those of their inputs. Methods are named after the
 * operators and return the new value's name.
 */
export class Builder extends Values {
  unary(opType: string, x: string): string {
    return this.op(opType, [x], this.type(x));
  }

  /** The value under another name, made by a node. */
  identity(x: string): string {
    return this.unary('Identity', x);
  }

  neg(x: string): string {
    return this.unary('Neg', x);
  }

  exp(x: string): string {
    return this.unary('Exp', x);
  }

  binary(opType: string, a: Operand, b: Operand, dtype?: OnnxDtype): string {
    const [p, q] = this.#operands(a, b);
    const dims = broadcastDims(this.dims(p), this.dims(q), () => this.unknownDim());
    return this.op(opType, [p, q], { dtype: dtype ?? this.dtype(p), dims });
  }

  add(a: Operand, b: Operand): string {
    return this.binary('Add', a, b);
  }

  sub(a: Operand, b: Operand): string {
    return this.binary('Sub', a, b);
  }

  mul(a: Operand, b: Operand): string {
    if (b === 1 && typeof a === 'string') return a;
    return this.binary('Mul', a, b);
  }

  div(a: Operand, b: Operand): string {
    return this.binary('Div', a, b);
  }

  pow(a: Operand, b: Operand): string {
    return this.binary('Pow', a, b);
  }

  compare(opType: 'Greater' | 'Less' | 'GreaterOrEqual' | 'LessOrEqual' | 'Equal', a: Operand, b: Operand): string {
    return this.binary(opType, a, b, 'BOOL');
  }

  where(condition: string, a: Operand, b: Operand): string {
    const [p, q] = this.#operands(a, b);
    const unknown = () => this.unknownDim();
    const dims = broadcastDims(broadcastDims(this.dims(p), this.dims(q), unknown), this.dims(condition), unknown);
    return this.op('Where', [condition, p, q], { dtype: this.dtype(p), dims });
  }

  cast(x: string, dtype: OnnxDtype): string {
    if (this.dtype(x) === dtype) return x;
    return this.op('Cast', [x], { dtype, dims: this.dims(x) }, [intAttribute('to', codeOfDtype(dtype))]);
  }

  /** `axes` are an attribute before opset 18 for all but ReduceSum, an input from then on. */
  reduce(opType: string, x: string, axes: readonly number[], keepdims = true): string {
    const rank = this.rank(x);
    const reduced = new Set(axes.map((axis) => normalAxis(axis, rank)));
    if (reduced.size === 0) return x;
    const dims = this.dims(x).flatMap((dim, axis) => (reduced.has(axis) ? (keepdims ? [1] : []) : [dim]));
    const type = { dtype: this.dtype(x), dims };
    const keep = intAttribute('keepdims', keepdims ? 1 : 0);
    const sorted = [...reduced].sort((a, b) => a - b);
    if (opType === 'ReduceSum' || this.opset >= 18) return this.op(opType, [x, this.ints(sorted)], type, [keep]);
    return this.op(opType, [x], type, [intsAttribute('axes', sorted), keep]);
  }

  sum(x: string, axes: readonly number[], keepdims = true): string {
    return this.reduce('ReduceSum', x, axes, keepdims);
  }

  mean(x: string, axes: readonly number[], keepdims = true): string {
    return this.reduce('ReduceMean', x, axes, keepdims);
  }

  /** At most one of the sizes may be one that `vector` cannot read, such as a product of names. */
  reshape(x: string, dims: readonly Dim[]): string {
    if (sameDims(this.dims(x), dims)) return x;
    const type = { dtype: this.dtype(x), dims };
    const names = dims.filter((dim) => typeof dim === 'string');
    if (names.length !== 1 || dims.includes(0)) {
      const attributes = dims.includes(0) ? [intAttribute('allowzero', 1)] : [];
      const open = dims.findIndex((dim) => !this.isReadable(dim));
      const shape = this.vector(dims.map((dim, i) => (i === open ? -1 : dim)));
      return this.op('Reshape', [x, shape], type, attributes);
    }
    return this.op('Reshape', [x, this.ints(dims.map((dim) => (typeof dim === 'number' ? dim : -1)))], type);
  }

  flatten(x: string): string {
    return this.reshape(x, [product(this.dims(x))]);
  }

  /** One after another Transpose becomes one, or none. */
  transpose(x: string, perm: readonly number[]): string {
    if (perm.every((axis, i) => axis === i)) return x;
    const before = this.graph.producer(x);
    if (before?.opType === 'Transpose' && domainOf(before) === '') {
      const first = getInts(before, 'perm', range(0, perm.length).reverse());
      return this.transpose(
        before.input[0]!,
        perm.map((axis) => first[axis]!),
      );
    }
    const dims = this.dims(x);
    const type = { dtype: this.dtype(x), dims: perm.map((axis) => dims[axis]!) };
    return this.op('Transpose', [x], type, [intsAttribute('perm', perm)]);
  }

  /** The last two axes exchanged. */
  swap(x: string): string {
    const rank = this.rank(x);
    return this.transpose(x, [...range(0, rank - 2), rank - 1, rank - 2]);
  }

  /** One axis moved to another place. */
  moveAxis(x: string, from: number, to: number): string {
    const perm = range(0, this.rank(x));
    perm.splice(from, 1);
    perm.splice(to, 0, from);
    return this.transpose(x, perm);
  }

  expand(x: string, dims: readonly Dim[]): string {
    if (sameDims(this.dims(x), dims)) return x;
    return this.op('Expand', [x, this.vector(dims)], { dtype: this.dtype(x), dims });
  }

  zeros(dims: readonly Dim[], like: string): string {
    return this.expand(this.scalar(0, like), dims);
  }

  matmul(a: string, b: string): string {
    const [p, q] = [this.dims(a), this.dims(b)];
    const batch = broadcastDims(p.slice(0, -2), q.slice(0, -2), () => this.unknownDim());
    return this.op('MatMul', [a, b], { dtype: this.dtype(a), dims: [...batch, p.at(-2)!, q.at(-1)!] });
  }

  /** `alpha` times the product of two matrices, each transposed or not. */
  gemm(a: string, b: string, flags: { transA?: boolean; transB?: boolean; alpha?: number }): string {
    const { transA = false, transB = false, alpha = 1 } = flags;
    const dims = [this.dims(a)[transA ? 1 : 0]!, this.dims(b)[transB ? 0 : 1]!];
    return this.op('Gemm', [a, b], { dtype: this.dtype(a), dims }, [
      intAttribute('transA', transA ? 1 : 0),
      intAttribute('transB', transB ? 1 : 0),
      floatAttribute('alpha', alpha),
    ]);
  }

  concat(parts: readonly string[], axis: number): string {
    const [first] = parts;
    if (parts.length === 1) return first!;
    const sizes: readonly Dim[] = parts.map((part) => this.dims(part)[axis]!);
    const size = isStatic(sizes) ? sizes.reduce((total, dim) => total + dim, 0) : this.unknownDim();
    const type = { dtype: this.dtype(first!), dims: this.dims(first!).with(axis, size) };
    return this.op('Concat', parts, type, [intAttribute('axis', axis)]);
  }

  /** Parts of an axis, of these sizes. */
  split(x: string, axis: number, sizes: readonly Dim[]): string[] {
    const node = this.graph.addNode({
      opType: 'Split',
      inputs: [x, this.vector(sizes)],
      outputs: sizes.length,
      attributes: [intAttribute('axis', axis)],
      name: `${this.scope}/Split`,
    });
    return sizes.map((size, i) =>
      this.extraOutput(node, i, { dtype: this.dtype(x), dims: this.dims(x).with(axis, size) }),
    );
  }

  /** `x[…, start:end, …]` of an axis, with step 1; `start` and `end` not negative. */
  slice(x: string, axis: number, start: number, end: number): string {
    if (start === 0 && end === this.dims(x)[axis]) return x;
    const type = { dtype: this.dtype(x), dims: this.dims(x).with(axis, end - start) };
    return this.op('Slice', [x, this.ints([start]), this.ints([end]), this.ints([axis])], type);
  }

  /** Zeros, or another value, before and after: one number of each per axis. */
  pad(x: string, before: readonly number[], after: readonly number[], value?: number): string {
    if ([...before, ...after].every((size) => size === 0)) return x;
    const dims = this.dims(x).map((dim, i) => {
      if (typeof dim === 'number') return dim + before[i]! + after[i]!;
      return before[i] === 0 && after[i] === 0 ? dim : this.unknownDim();
    });
    const fill = value === undefined ? [] : [this.scalar(value, x)];
    return this.op('Pad', [x, this.ints([...before, ...after]), ...fill], { dtype: this.dtype(x), dims });
  }

  /** As `pad`, of one axis. */
  padAxis(x: string, axis: number, before: number, after: number): string {
    const zeros = this.dims(x).map(() => 0);
    return this.pad(x, zeros.with(axis, before), zeros.with(axis, after));
  }

  /** Rows of an axis by a list of indices. */
  gather(x: string, axis: number, indices: readonly number[]): string {
    const type = { dtype: this.dtype(x), dims: this.dims(x).with(axis, indices.length) };
    return this.op('Gather', [x, this.ints(indices)], type, [intAttribute('axis', axis)]);
  }

  /** A gradient of what `target` was broadcast to, summed to the shape of `target`. */
  unbroadcast(d: string, target: string): string {
    const from = this.dims(d);
    const to = this.dims(target);
    const axes = broadcastAxes(from, to);
    if (axes === null) return this.#unbroadcastOpen(d, target);
    const leading = axes.length === from.length - to.length && axes.every((axis, i) => axis === i);
    if (leading) return this.sum(d, axes, false);
    return this.reshape(this.sum(d, axes), to);
  }

  /** Which axes were broadcast is only known while running. */
  #unbroadcastOpen(d: string, target: string): string {
    const rank = this.rank(d);
    const missing = rank - this.rank(target);
    const shape = this.shapeOf(target);
    const ones = this.ints(Array.from({ length: missing }, () => 1));
    const aligned = missing === 0 ? shape : this.concat([ones, shape], 0);
    const found = this.op('NonZero', [this.compare('Equal', aligned, this.ints([1]))], {
      dtype: 'I64',
      dims: [1, this.unknownDim()],
    });
    const axes = this.op('Reshape', [found, this.ints([-1])], { dtype: 'I64', dims: [this.unknownDim()] });
    const type = { dtype: this.dtype(d), dims: this.dims(d).map(() => this.unknownDim()) };
    const summed = this.op('ReduceSum', [d, axes], type, [intAttribute('noop_with_empty_axes', 1)]);
    return this.op('Reshape', [summed, shape], { dtype: this.dtype(d), dims: this.dims(target) });
  }

  /**
   * The gradient of an operator that only picks elements: `indices`, made by the same operator from `positions`,
   * says where in `x` each element of `d` came from; what came from the same place is added.
   */
  scatterBack(d: string, indices: string, x: string): string {
    const flat = this.flatten(x);
    const empty = this.zeros(this.dims(flat), x);
    const type = { dtype: this.dtype(x), dims: this.dims(flat) };
    const back = this.op('ScatterElements', [empty, this.flatten(indices), this.flatten(d)], type, [
      intAttribute('axis', 0),
      stringAttribute('reduction', 'add'),
    ]);
    return this.reshape(back, this.dims(x));
  }

  /** A tensor of the shape of `x` that holds 0, 1, 2, … */
  positions(x: string): string {
    const dims = this.dims(x);
    const size = product(dims);
    const limit = typeof size === 'number' ? this.constant('I64', [], [size]) : this.#count(x);
    const flat = this.op('Range', [this.constant('I64', [], [0]), limit, this.constant('I64', [], [1])], {
      dtype: 'I64',
      dims: [size],
    });
    return this.reshape(flat, dims);
  }

  #count(x: string): string {
    return this.op('Size', [x], { dtype: 'I64', dims: [] });
  }

  /** The number of elements along some axes, as a float scalar like `x`, or as a number when it is known. */
  count(x: string, axes: readonly number[]): Operand {
    const dims = axes.map((axis) => this.dims(x)[axis]!);
    const size = product(dims);
    if (typeof size === 'number') return size;
    const total = this.op('ReduceProd', [this.vector(dims)], { dtype: 'I64', dims: [] }, [intAttribute('keepdims', 0)]);
    return this.cast(total, this.dtype(x));
  }

  #operands(a: Operand, b: Operand): [string, string] {
    if (typeof a === 'number' && typeof b === 'number') throw new TypeError('one operand must be a value');
    const p = typeof a === 'number' ? this.scalar(a, b as string) : a;
    return [p, typeof b === 'number' ? this.scalar(b, p) : b];
  }
}
