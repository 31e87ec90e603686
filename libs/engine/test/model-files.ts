import { fromFloat32, toFloat32 } from '@amalgam/tensors';
import type { Vectors } from './brute-force.js';
import type { Shapes } from './brute-sparse.js';
import { input, type Loaded, tempDir, writeModel } from './support.js';

/** A base and models on disk, for tests of methods against their formulas. */

export type FloatDtype = 'F32' | 'BF16' | 'F16';
export type Values = Record<string, ArrayLike<number>>;

export interface Files {
  base: Loaded;
  models: Loaded[];
  /** What the files hold after rounding to their dtype. */
  values: { base: Vectors; models: Vectors[] };
}

export async function write(shapes: Shapes, base: Values, models: Values[], dtype: FloatDtype = 'F32'): Promise<Files> {
  const dir = tempDir();
  const load = async (name: string, values: Values) => {
    const model = Object.entries(values).map(([tensor, list]) => [
      tensor,
      { dtype, shape: [...shapes[tensor]!], values: Float32Array.from(list) },
    ]);
    return input(await writeModel(dir, name, Object.fromEntries(model)), name);
  };
  const rounded = (values: Values): Vectors =>
    new Map(
      Object.entries(values).map(([name, list]) => [
        name,
        toFloat32(dtype, fromFloat32(dtype, Float32Array.from(list))),
      ]),
    );
  return {
    base: await load('base', base),
    models: await Promise.all(models.map((values, i) => load(`m${i}`, values))),
    values: { base: rounded(base), models: models.map(rounded) },
  };
}
