import { fileURLToPath } from 'node:url';
import { fromFloat32, toFloat32 } from '@amalgam/tensors';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as brute from './brute-force.js';
import {
  decode,
  input,
  type Loaded,
  type Model,
  merge,
  sha256,
  storeTaskVectors,
  tempDir,
  tunedRecipe,
  writeModel,
} from './support.js';

const ZOO = fileURLToPath(new URL('../../../examples/zoo/vit6/', import.meta.url));
const TASKS = ['digits', 'shapes', 'segments', 'location', 'quadpair', 'blobs'];

/** The encoder's tensors: what all checkpoints of the zoo share. */
async function vectors(loaded: Loaded): Promise<brute.Vectors> {
  const { readFileSync } = await import('node:fs');
  const tensors = await decode(readFileSync(loaded.path));
  return new Map(
    [...tensors].filter(([name]) => !name.startsWith('head.')).map(([name, { values }]) => [name, values!]),
  );
}

const zoo = async () => ({
  base: await input(`${ZOO}base.safetensors`, 'base'),
  models: await Promise.all(TASKS.map((task) => input(`${ZOO}${task}.safetensors`, task))),
});

function expectBits(got: Awaited<ReturnType<typeof decode>>, expected: brute.Vectors) {
  expect([...got.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, { values, data, dtype }] of got) {
    const bytes = fromFloat32(dtype, expected.get(name)!);
    if (!Buffer.from(data).equals(Buffer.from(bytes))) {
      const at = values!.findIndex((x, i) => !Object.is(x, toFloat32(dtype, bytes)[i]));
      throw new Error(`${name}[${at}]: ${values![at]} instead of ${toFloat32(dtype, bytes)[at]}`);
    }
  }
}

describe('the zoo equals brute force to the last bit', () => {
  for (const scope of ['model', 'tensor'] as const) {
    for (const combine of ['mean', 'sum'] as const) {
      test(`ties, scope ${scope}, combine ${combine}`, async () => {
        const { base, models } = await zoo();
        const settings = { density: TASKS.map(() => 0.2), weight: TASKS.map(() => 1), lambda: 0.7, scope, combine };
        const result = await merge({ method: 'ties', parameters: { lambda: 0.7, scope, combine } }, base, models);
        const expected = brute.ties(await vectors(base), await Promise.all(models.map(vectors)), settings);
        expectBits(await decode(result.contents.get('model.safetensors')!), expected.merged);
        expect(result.report.sign_conflicts).toBeCloseTo(expected.conflicts, 12);
        result.report.inputs.slice(1).forEach((model, k) => {
          const all = [...expected.deltas[k]!.values()].flatMap((delta) => [...delta]);
          // float64 sums in another order differ in the last digits only
          expect(model.norm).toBeCloseTo(Math.sqrt(all.reduce((sum, x) => sum + x * x, 0)), 10);
          if (scope === 'model') {
            const kept = Math.floor(0.2 * all.length);
            expect(model.trimmed).toBeCloseTo(1 - kept / all.length, 12);
            expect(model.threshold).toBe(all.map(Math.abs).sort((a, b) => b - a)[kept - 1]);
          }
        });
      });
    }
  }

  test('task arithmetic and linear, weights and normalisation', async () => {
    const { base, models } = await zoo();
    const weight = [1, 0.5, -0.25, 2, 0.1, 0.3];
    const parameters = weight.map((w) => ({ parameters: { weight: w } }));
    const own = await vectors(base);
    const others = await Promise.all(models.map(vectors));
    for (const normalize of [false, true]) {
      const ta = await merge(
        { method: 'task_arithmetic', parameters: { lambda: 0.4, normalize }, models: parameters },
        base,
        models,
      );
      const expected = brute.taskArithmetic(own, others, weight, 0.4, normalize);
      expectBits(await decode(ta.contents.get('model.safetensors')!), expected);
      const li = await merge({ method: 'linear', parameters: { normalize }, models: parameters }, base, models);
      expectBits(await decode(li.contents.get('model.safetensors')!), brute.linear(others, weight, normalize));
    }
  });

  test('heads stay with their models', async () => {
    const { base, models } = await zoo();
    const result = await merge({ method: 'ties' }, base, models);
    const { readFileSync } = await import('node:fs');
    for (const task of TASKS) {
      const own = await decode(readFileSync(`${ZOO}${task}.safetensors`));
      const head = await decode(result.contents.get(`heads/${task}.safetensors`)!);
      expect([...head.keys()].sort()).toEqual(['head.bias', 'head.weight']);
      for (const [name, { data }] of head) expect(data).toEqual(own.get(name)!.data);
    }
  });
});

describe('the bytes depend on nothing but recipe and inputs', () => {
  test('threads, chunks, shards of one merge', async () => {
    const { base, models } = await zoo();
    const digests = new Set<string>();
    const reports = new Set<string>();
    for (const options of [
      { threads: 1 },
      { threads: 2 },
      { threads: 1, chunkElements: 2048 },
      { threads: 2, chunkElements: 4096 },
      { threads: 3, memoryBytes: 400_000_000 },
    ]) {
      const { files, report } = await merge({ method: 'ties' }, base, models, options);
      digests.add(files.map((file) => file.sha256).join());
      reports.add(JSON.stringify([report.tensors, report.inputs]));
    }
    expect(digests.size).toBe(1);
    expect(reports.size).toBe(1);
  });
});

// Values on a coarse grid: equal magnitudes at the threshold and exact cancellation are the rule.
const grid = fc.integer({ min: -6, max: 6 }).map((x) => x / 4);
const fine = fc.float({ noNaN: true, noDefaultInfinity: true, min: -4, max: 4 });
const shapes: Record<string, number[]> = { a: [7, 3], 'b.bias': [5], scalar: [], empty: [0, 4], z: [33] };
const elements = (shape: number[]) => shape.reduce((n, size) => n * size, 1);

describe('small models equal brute force', () => {
  const model = (value: fc.Arbitrary<number>) =>
    fc.record(
      Object.fromEntries(
        Object.entries(shapes).map(([name, shape]) => {
          const n = elements(shape);
          return [name, fc.array(value, { minLength: n, maxLength: n })];
        }),
      ),
    );
  const cases = fc.constantFrom(grid, fine).chain((value) =>
    fc.record({
      base: model(value),
      models: fc.array(model(value), { minLength: 1, maxLength: 3 }),
      density: fc.constantFrom(0.01, 0.2, 0.5, 0.77, 1),
      weights: fc.array(fc.constantFrom(1, 0.5, -1, 0.3), { minLength: 3, maxLength: 3 }),
      lambda: fc.constantFrom(1, 0.3, 0),
      scope: fc.constantFrom('model' as const, 'tensor' as const),
      combine: fc.constantFrom('mean' as const, 'sum' as const),
      dtype: fc.constantFrom('F32' as const, 'BF16' as const, 'F16' as const),
    }),
  );

  type Values = Record<string, number[]>;
  type Case = { base: Values; models: Values[]; dtype: 'F32' | 'BF16' | 'F16' };

  /** Files of a case's models, and what they hold after rounding to their dtype. */
  async function write({ base, models, dtype }: Case) {
    const dir = tempDir();
    const toModel = (values: Values): Model =>
      Object.fromEntries(
        Object.entries(values).map(([name, list]) => [name, { dtype, shape: shapes[name]!, values: list }]),
      );
    const rounded = (values: Values): brute.Vectors =>
      new Map(
        Object.entries(values).map(([name, list]) => [
          name,
          toFloat32(dtype, fromFloat32(dtype, Float32Array.from(list))),
        ]),
      );
    const load = async (name: string, values: Values) => input(await writeModel(dir, name, toModel(values)), name);
    return {
      base: await load('base', base),
      models: await Promise.all(models.map((values, i) => load(`m${i}`, values))),
      values: { base: rounded(base), models: models.map(rounded) },
    };
  }

  test('ties on ties: equal magnitudes, cancellation, odd shapes, scalars, empty tensors, all float dtypes', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (c) => {
        const { base, models, values } = await write(c);
        const { density, lambda, scope, combine } = c;
        const weight = c.weights.slice(0, models.length);
        const result = await merge(
          {
            method: 'ties',
            parameters: { density, lambda, scope, combine },
            models: weight.map((w) => ({ parameters: { weight: w } })),
          },
          base,
          models,
          { threads: 1, chunkElements: 2048 },
        );
        const expected = brute.ties(values.base, values.models, {
          density: models.map(() => density),
          weight,
          lambda,
          scope,
          combine,
        });
        expectBits(await decode(result.contents.get('model.safetensors')!), expected.merged);
      }),
      { numRuns: 40 },
    );
  });

  test('adamerging and adamerging++: the merge, and the task vectors that its coefficients are learned for', async () => {
    const coefficient = fc.constantFrom(0, 0.3, 1, 0.1, -0.7);
    const names = Object.keys(shapes);
    const tuned = fc.tuple(
      cases,
      fc.boolean(),
      fc.array(fc.array(coefficient, { minLength: 3, maxLength: 3 }), {
        minLength: names.length,
        maxLength: names.length,
      }),
      fc.constantFrom('F32' as const, 'BF16' as const, 'F16' as const),
    );
    await fc.assert(
      fc.asyncProperty(tuned, async ([c, sign_resolve, table, vectorDtype]) => {
        const { base, models, values } = await write(c);
        const recipe = tunedRecipe({ sign_resolve, density: c.density, clamp: null }, base, models);
        const coefficients = { tensors: names, values: table.map((row) => row.slice(0, models.length)) };
        const result = await merge(recipe, base, models, { threads: 1, chunkElements: 2048, coefficients });
        const { vectors, whole, conflicts } = brute.tunedVectors(
          values.base,
          values.models,
          sign_resolve ? c.density : null,
        );
        const rowOf = (name: string) => coefficients.values[names.indexOf(name)]!;
        expectBits(
          await decode(result.contents.get('model.safetensors')!),
          brute.adamerging(values.base, vectors, rowOf),
        );
        const elements = [...values.base.values()].reduce((sum, list) => sum + list.length, 0);
        if (sign_resolve) expect(result.report.sign_conflicts).toBeCloseTo(conflicts / elements, 12);
        else expect('sign_conflicts' in result.report).toBe(false);

        if (whole.some((own) => [...own.values()].every((list) => list.every((x) => x === 0)))) return;
        const stored = await storeTaskVectors(result.plan, [base, ...models], vectorDtype);
        expect(stored.tensors.map(({ name }) => name)).toEqual([...names].sort());
        for (const tensor of stored.tensors) {
          const found = stored.read(tensor);
          expect(found.base).toEqual(Buffer.from(fromFloat32('F32', values.base.get(tensor.name)!)));
          found.vectors.forEach((bytes, k) => {
            expect(bytes).toEqual(Buffer.from(fromFloat32(vectorDtype, vectors[k]!.get(tensor.name)!)));
          });
        }
      }),
      { numRuns: 20 },
    );
  });

  test('identities: density 1 and one model give the model; lambda 0 gives the base', async () => {
    const { base, models } = await zoo();
    const one = await merge({ method: 'linear' }, null, [models[0]!]);
    const { readFileSync } = await import('node:fs');
    const own = await decode(readFileSync(models[0]!.path));
    for (const [name, { data }] of await decode(one.contents.get('model.safetensors')!)) {
      expect(sha256(data)).toBe(sha256(own.get(name)!.data));
    }
    const none = await merge({ method: 'ties', parameters: { lambda: 0 } }, base, models);
    const baseTensors = await decode(readFileSync(base.path));
    for (const [name, { values }] of await decode(none.contents.get('model.safetensors')!)) {
      // b + 0·m is b, but −0 + 0 is 0
      expect(values!.every((x, i) => x === baseTensors.get(name)!.values![i])).toBe(true);
    }
  });
});
