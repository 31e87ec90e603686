import { AmalgamError, dtypeBytes, quote } from '@amalgam/contracts';
import type { Table } from './adam.js';
import { storedValues, transpose } from './bind-contents.js';
import type { VectorFile } from './jobs.js';

/** The merged tensors for some coefficients, θ₀ + λT from the file, computed here and not by the runtime. Each is computed once. */
export class MergedValues {
  readonly #vectors: VectorFile;
  readonly #coefficients: Table;
  readonly #rows: ReadonlyMap<string, number>;
  readonly #values = new Map<string, Promise<Float32Array>>();

  /** `coefficients` has a row for each tensor of the file, or one for all. */
  constructor(vectors: VectorFile, coefficients: Table) {
    this.#vectors = vectors;
    this.#coefficients = coefficients;
    this.#rows = new Map(vectors.tensors.map(({ name }, i) => [name, i]));
  }

  has(tensor: string): boolean {
    return this.#rows.has(tensor);
  }

  /** In the tensor's order, or with a matrix's axes exchanged. */
  get(tensor: string, transposed: boolean): Promise<Float32Array> {
    const key = `${tensor} ${transposed}`;
    let values = this.#values.get(key);
    if (values === undefined) {
      values = this.#merge(tensor, transposed);
      this.#values.set(key, values);
    }
    return values;
  }

  async #merge(tensor: string, transposed: boolean): Promise<Float32Array> {
    const row = this.#rows.get(tensor);
    if (row === undefined) throw new AmalgamError('internal', `tensor ${quote(tensor)} has no task vectors`);
    const { path, dtype, tensors } = this.#vectors;
    const { name, shape, elements, base, vectors } = tensors[row]!;
    const merged = await storedValues({ name, dtype: 'F32', shape, path, begin: base });
    for (const [model, coefficient] of (this.#coefficients[row] ?? this.#coefficients[0]!).entries()) {
      const begin = vectors + model * elements * dtypeBytes(dtype);
      add(merged, coefficient, await storedValues({ name, dtype, shape, path, begin }));
    }
    return transposed ? transpose(merged, shape[0]!, shape[1]!) : merged;
  }
}

/** A function of its own, which the engine compiles well. */
function add(sum: Float32Array, factor: number, values: Float32Array): void {
  for (let i = 0; i < sum.length; i++) sum[i] = sum[i]! + factor * values[i]!;
}
