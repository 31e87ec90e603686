import { createHash } from 'node:crypto';
import { isFloat } from '@amalgam/contracts';
import { loadTensor, ONNX_DTYPES, type OnnxDtype, readTensorBytes, type TensorProto, tensorInfo } from '@amalgam/onnx';
import { toFloat32 } from '@amalgam/tensors';
import { roundTo16 } from './bind-round.js';
import { elementsOf, readStored, type StoredCheckpoint, type StoredTensor } from './stored.js';

/** The checkpoint whose numbers an initializer has. */
export type Origin = 'base' | 'model';

/** The dtypes of initializers that can stand for a checkpoint's tensor. */
export type BindableDtype = 'F32' | 'F64' | 'F16' | 'BF16';

/** A tensor with the contents of an initializer, as it is or transposed. */
export interface Hit {
  tensor: StoredTensor;
  from: Origin;
  transposed: boolean;
}

/** Which tensors of two checkpoints have the contents of which initializers. */
export interface Contents {
  /** By initializer; the base's come first. */
  hits: ReadonlyMap<string, readonly Hit[]>;
  /** True when both checkpoints have the same numbers under both names, or neither name. */
  equal(a: string, b: string): boolean;
}

export function isBindable(dtype: OnnxDtype): dtype is BindableDtype {
  return dtype === 'F32' || dtype === 'F64' || dtype === 'F16' || dtype === 'BF16';
}

/** What contents are compared in: 16-bit initializers as their bits, after rounding the checkpoint's values; the others as float32. */
type Precision = 'F32' | 'F16' | 'BF16';

const LARGEST_UPDATE = 2 ** 30;

/** Where equal numbers are no coincidence: vectors of zeros and ones are shorter. */
const LARGE = 2 ** 16;

/** Digests of stored tensors, by contents: those of the base are the same for every graph of a job. */
export class Digests {
  readonly #known = new Map<string, string>();

  /** Of the values, or of the transpose's, in a precision; `values` is asked when it is not known yet. */
  async of(
    tensor: StoredTensor,
    { precision, transposed }: { precision: Precision; transposed: boolean },
    values: () => Promise<Float32Array>,
  ): Promise<string> {
    const key = `${tensor.path} ${tensor.begin} ${precision} ${transposed}`;
    let digest = this.#known.get(key);
    if (digest === undefined) {
      const own = await values();
      const [rows, columns] = matrixOf(tensor);
      digest = digestOf(precision, transposed ? transpose(own, rows, columns) : own);
      this.#known.set(key, digest);
    }
    return digest;
  }
}

/**
 * Compares all initializers (of bindable dtypes) with all tensors of both checkpoints that have as many elements; with large
 * ones of the model only where the base leaves something open. Only one tensor is in memory at a time; transposes are looked
 * at while an initializer of that size has no tensor that fits as it is.
 */
export async function matchContents(
  initializers: ReadonlyMap<string, TensorProto>,
  checkpoints: Readonly<Record<Origin, StoredCheckpoint>>,
  known: Digests = new Digests(),
): Promise<Contents> {
  const hits = new Map<string, Hit[]>([...initializers.keys()].map((name) => [name, []]));
  const wanted = await indexInitializers(initializers);
  const digests = new Map<string, string>();
  for (const from of ['base', 'model'] as const) {
    const ambiguous = new Set([...hits.values()].filter(({ length }) => length > 1).flatMap(namesOf));
    for (const tensor of inFileOrder(checkpoints[from])) {
      const elements = elementsOf(tensor);
      const sizes = wanted.get(elements);
      if (sizes === undefined || !isFloat(tensor.dtype)) continue;
      const names = [...sizes.values()].flatMap((byDigest) => [...byDigest.values()].flat());
      const settled = elements > LARGE && names.every((name) => hits.get(name)!.length > 0);
      if (from === 'model' && settled && !ambiguous.has(tensor.name)) continue;
      let read: Promise<Float32Array> | undefined;
      const values = () => {
        read ??= storedValues(tensor);
        return read;
      };
      const digest = (precision: Precision, transposed: boolean) => known.of(tensor, { precision, transposed }, values);
      digests.set(`${from} ${tensor.name}`, await digest('F32', false));
      const [rows, columns] = matrixOf(tensor);
      for (const [precision, byDigest] of sizes) {
        const asIs = await digest(precision, false);
        for (const name of byDigest.get(asIs) ?? []) hits.get(name)!.push({ tensor, from, transposed: false });
        const open = [...byDigest.values()].flat().some((name) => hits.get(name)!.every((hit) => hit.transposed));
        if (rows < 2 || columns < 2 || !open) continue;
        const turned = await digest(precision, true);
        if (turned === asIs) continue;
        for (const name of byDigest.get(turned) ?? []) hits.get(name)!.push({ tensor, from, transposed: true });
      }
    }
  }
  const equal = (a: string, b: string) =>
    (['base', 'model'] as const).every((from) => digests.get(`${from} ${a}`) === digests.get(`${from} ${b}`));
  return { hits, equal };
}

function namesOf(hits: readonly Hit[]): string[] {
  return hits.map(({ tensor }) => tensor.name);
}

/** A stored tensor's values in float32: exact but for float64, which is rounded. */
export async function storedValues(tensor: StoredTensor): Promise<Float32Array> {
  const bytes = await readStored(tensor);
  switch (tensor.dtype) {
    case 'F32':
      return new Float32Array(bytes.buffer);
    case 'F64':
      return new Float32Array(new Float64Array(bytes.buffer));
    case 'BF16':
      return new Float32Array(Uint32Array.from(new Uint16Array(bytes.buffer), (bits) => bits << 16).buffer);
    case 'F16': {
      const table = halfTable();
      const bits = new Uint16Array(bytes.buffer);
      const values = new Float32Array(bits.length);
      for (let i = 0; i < bits.length; i++) values[i] = table[bits[i]!]!;
      return values;
    }
    default:
      return toFloat32(tensor.dtype, bytes);
  }
}

/** An initializer's values in float32; its dtype is bindable. */
export async function initializerValues(tensor: TensorProto): Promise<Float32Array> {
  const { dtype, bytes } = await loadTensor(tensor);
  if (!isBindable(dtype)) throw new TypeError(`${dtype} initializers have no values here`);
  // Copied, because the bytes of a file begin anywhere.
  if (dtype === 'F32') return new Float32Array(new Uint8Array(bytes).buffer);
  if (dtype === 'F64') return new Float32Array(new Float64Array(new Uint8Array(bytes).buffer));
  return toFloat32(dtype, bytes);
}

/** The values of a matrix [rows, columns] in the order of its transpose. */
export function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length);
  // In tiles that fit the cache: strides of a whole row miss it on every element.
  const tile = 32;
  for (let top = 0; top < rows; top += tile) {
    for (let left = 0; left < columns; left += tile) {
      const right = Math.min(left + tile, columns);
      for (let row = top; row < Math.min(top + tile, rows); row++) {
        for (let column = left; column < right; column++) {
          result[column * rows + row] = values[row * columns + column]!;
        }
      }
    }
  }
  return result;
}

/** True when all elements of an initializer of a bindable dtype are equal. */
export async function isUniform(tensor: TensorProto): Promise<boolean> {
  const { dtype, byteLength } = tensorInfo(tensor);
  // Most tensors are not, and show it at once.
  for (const length of [Math.min(byteLength, 512), byteLength]) {
    const bytes = await readTensorBytes(tensor, 0, length);
    const width = ONNX_DTYPES[dtype].bits / 8;
    if (bytes.some((byte, i) => byte !== bytes[i % width])) return false;
  }
  return true;
}

/** How many different values there are, counted to three at most: masks and fresh vectors have one or two. */
export function distinctValues(values: Float32Array): number {
  const found = new Set<number>();
  for (const value of values) if (found.add(value).size > 2) break;
  return found.size;
}

type Wanted = Map<number, Map<Precision, Map<string, string[]>>>;

async function indexInitializers(initializers: ReadonlyMap<string, TensorProto>): Promise<Wanted> {
  const wanted: Wanted = new Map();
  for (const [name, tensor] of initializers) {
    const { dtype, elements } = tensorInfo(tensor);
    const precision: Precision = dtype === 'F16' || dtype === 'BF16' ? dtype : 'F32';
    const digest =
      dtype === 'F64'
        ? digestOf('F32', await initializerValues(tensor))
        : digestBytes((await loadTensor(tensor)).bytes);
    const sizes = entry(wanted, elements, () => new Map<Precision, Map<string, string[]>>());
    const byDigest = entry(sizes, precision, () => new Map<string, string[]>());
    entry(byDigest, digest, (): string[] => []).push(name);
  }
  return wanted;
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

function inFileOrder({ tensors }: StoredCheckpoint): StoredTensor[] {
  return Object.values(tensors).sort((a, b) => (a.path === b.path ? a.begin - b.begin : a.path < b.path ? -1 : 1));
}

function matrixOf({ shape }: StoredTensor): [rows: number, columns: number] {
  return shape.length === 2 ? [shape[0]!, shape[1]!] : [0, 0];
}

function digestOf(precision: Precision, values: Float32Array): string {
  const numbers = precision === 'F32' ? values : roundTo16(precision, values);
  return digestBytes(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));
}

function digestBytes(bytes: Uint8Array): string {
  const hash = createHash('sha256');
  for (let at = 0; at < bytes.length; at += LARGEST_UPDATE) hash.update(bytes.subarray(at, at + LARGEST_UPDATE));
  return hash.digest('base64');
}

let halves: Float32Array | undefined;

/** The value of every pattern of float16. */
function halfTable(): Float32Array {
  halves ??= toFloat32('F16', new Uint8Array(Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits).buffer));
  return halves;
}
