import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromFloat32, toFloat32 } from '@amalgam/tensors';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { executeMerge } from '../src/execute.js';
import { decode, input, type Loaded, merge, sha256, tempDir, writeModel } from './support.js';

type Values = Record<string, ArrayLike<number>>;

const f = Math.fround;
const SHAPES: Record<string, number[]> = { a: [7, 3], 'b.bias': [5], scalar: [], empty: [0, 4], z: [33] };
const elements = (shape: readonly number[]) => shape.reduce((n, size) => n * size, 1);

async function write(shapes: Record<string, number[]>, models: Values[], names: string[]): Promise<Loaded[]> {
  const dir = tempDir();
  return Promise.all(
    models.map(async (values, i) => {
      const tensors = Object.entries(values).map(([name, list]) => [
        name,
        { dtype: 'F32', shape: shapes[name]!, values: Float32Array.from(list) },
      ]);
      return input(await writeModel(dir, names[i]!, Object.fromEntries(tensors)), names[i]!);
    }),
  );
}

interface Expected {
  unified: Record<string, number[]>;
  /** By model. */
  masks: Record<string, boolean[]>[];
  rescalers: number[];
}

/** From the formula, with whole models in memory. */
function bruteForce(base: Values, models: Values[]): Expected {
  const taus = models.map((model) =>
    Object.fromEntries(
      Object.entries(base).map(([name, list]) => [name, Array.from(list, (b, i) => f(f(model[name]![i]!) - f(b)))]),
    ),
  );
  const unified: Expected['unified'] = {};
  const masks = models.map((): Record<string, boolean[]> => ({}));
  for (const [name, list] of Object.entries(base)) {
    const signs = Array.from(list, (_, i) => (taus.reduce((sum, own) => f(sum + own[name]![i]!), 0) > 0 ? 1 : -1));
    unified[name] = signs.map((sign, i) => sign * Math.max(0, ...taus.map((own) => sign * own[name]![i]!)));
    taus.forEach((own, t) => {
      masks[t]![name] = signs.map((sign, i) => own[name]![i]! * sign > 0);
    });
  }
  const mean = (list: number[]) =>
    list.length === 0 ? 0 : list.reduce((sum, x) => sum + Math.abs(x), 0) / list.length;
  const rescalers = taus.map((own, t) => {
    const names = Object.keys(base);
    const whole = names.reduce((sum, name) => sum + mean(own[name]!), 0);
    const masked = names.reduce(
      (sum, name) => sum + mean(unified[name]!.map((x, i) => (masks[t]![name]![i] ? x : 0))),
      0,
    );
    return masked === 0 ? 1 : whole / masked;
  });
  return { unified, masks, rescalers };
}

/** A mask file as docs/emr.md says that it is to be read. */
async function readMasks(bytes: Uint8Array, shapes: Record<string, number[]>) {
  const tensors = await decode(bytes);
  const masks: Record<string, boolean[]> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const { data } = tensors.get(name)!;
    masks[name] = Array.from({ length: elements(shape) }, (_, i) => ((data[i >> 3]! >> (i & 7)) & 1) === 1);
  }
  return { masks, rescaler: tensors.get('emr.rescaler')!.values![0]!, tensors };
}

async function expectBruteForce(
  shapes: Record<string, number[]>,
  base: Values,
  models: Values[],
  options: Parameters<typeof merge>[3],
) {
  const names = models.map((_, i) => `task-${i}`);
  const [loadedBase, ...loaded] = await write(shapes, [base, ...models], ['base', ...names]);
  const { contents, report } = await merge({ method: 'emr' }, loadedBase!, loaded, options);
  const expected = bruteForce(base, models);
  const result = await decode(contents.get('model.safetensors')!);
  for (const [name, values] of Object.entries(expected.unified)) {
    const sum = values.map((x, i) => f(f(base[name]![i]!) + x));
    expect([...result.get(name)!.values!], name).toEqual(sum);
  }
  for (const [t, task] of names.entries()) {
    const { masks, rescaler } = await readMasks(contents.get(`masks/${task}.safetensors`)!, shapes);
    expect(masks).toEqual(expected.masks[t]);
    expect(rescaler / expected.rescalers[t]!).toBeCloseTo(1, 6);
    expect(report.inputs[t + 1]!.rescaler! / expected.rescalers[t]!).toBeCloseTo(1, 12);
  }
  return { contents, report };
}

function noise(n: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: n }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 - 0.5;
  });
}
const LARGE: Record<string, number[]> = { matrix: [70, 101], long: [3, 3001], vector: [5003] };
const largeValues = (seed: number): Values =>
  Object.fromEntries(Object.entries(LARGE).map(([name, shape], i) => [name, noise(elements(shape), seed + i)]));

describe('emr', () => {
  test('equals brute force on small models: odd shapes, scalars, ties, zeros, empty tensors', async () => {
    const grid = fc.integer({ min: -4, max: 4 }).map((x) => x / 4);
    const model = fc.record(
      Object.fromEntries(
        Object.entries(SHAPES).map(([name, shape]) => {
          const n = elements(shape);
          return [name, fc.array(grid, { minLength: n, maxLength: n })];
        }),
      ),
    );
    await fc.assert(
      fc.asyncProperty(model, fc.array(model, { minLength: 1, maxLength: 4 }), async (base, models) => {
        await expectBruteForce(SHAPES, base, models, { threads: 1, chunkElements: 2048 });
      }),
      { numRuns: 12 },
    );
  });

  test('equals brute force on larger tensors, with the same bytes for any threads and chunks', async () => {
    const models = [largeValues(10), largeValues(20), largeValues(30)];
    const seen = new Set<string>();
    for (const options of [{ threads: 1 }, { threads: 2, chunkElements: 2048 }]) {
      const { contents } = await expectBruteForce(LARGE, largeValues(1), models, options);
      seen.add([...contents].map(([path, bytes]) => `${path} ${sha256(bytes)}`).join());
    }
    expect(seen.size).toBe(1);
  });

  test('the model of a task is rebuilt from base, result, mask and rescaler; alone it is the fine-tuned model', async () => {
    const base = largeValues(1);
    const model = largeValues(2);
    const [loadedBase, loaded] = await write(LARGE, [base, model], ['base', 'only']);
    const { contents } = await merge({ method: 'emr' }, loadedBase!, [loaded!], { threads: 1 });
    const result = await decode(contents.get('model.safetensors')!);
    const { masks, rescaler } = await readMasks(contents.get('masks/only.safetensors')!, LARGE);
    expect(rescaler).toBe(1);
    for (const [name, values] of Object.entries(model)) {
      const rebuilt = Array.from(base[name]!, (b, i) =>
        masks[name]![i] ? f(b + f(rescaler * f(result.get(name)!.values![i]! - b))) : b,
      );
      Array.from(values).forEach((x, i) => {
        expect(Math.abs(rebuilt[i]! - x)).toBeLessThanOrEqual(2 ** -23);
      });
    }
  });

  test('a merge that goes on after some of its files are there makes the others', async () => {
    const models = [largeValues(10), largeValues(20)];
    const [base, ...loaded] = await write(LARGE, [largeValues(1), ...models], ['base', 'one', 'two']);
    const whole = await merge({ method: 'emr' }, base!, loaded, { threads: 1 });
    expect([...whole.contents.keys()]).toEqual(['model.safetensors', 'masks/one.safetensors', 'masks/two.safetensors']);
    const outDir = tempDir();
    const left: string[] = [];
    await executeMerge(whole.plan, {
      outDir,
      pathOf: (index) => [base!, ...loaded][index]!.path,
      finished: new Map(whole.files.slice(0, 2).map((file) => [file.path, { file, statistics: [] }])),
      onFile: async ({ path }) => {
        left.push(path);
      },
    });
    expect(left).toEqual(['masks/two.safetensors']);
    const again = readFileSync(join(outDir, 'masks/two.safetensors'));
    expect(sha256(again)).toBe(sha256(whole.contents.get('masks/two.safetensors')!));
  });

  test('masks of tensors that an earlier attempt merged are written beside those of the others', async () => {
    const models = [largeValues(10), largeValues(20)];
    const [base, ...loaded] = await write(LARGE, [largeValues(1), ...models], ['base', 'one', 'two']);
    const whole = await merge({ method: 'emr', shard_bytes: 40_000 }, base!, loaded, { threads: 1 });
    const paths = [...whole.contents.keys()];
    expect(paths.slice(0, 2)).toEqual(['model-00001-of-00003.safetensors', 'model-00002-of-00003.safetensors']);
    const outDir = tempDir();
    await executeMerge(whole.plan, {
      outDir,
      pathOf: (index) => [base!, ...loaded][index]!.path,
      finished: new Map([[paths[1]!, { file: whole.files[1]!, statistics: [] }]]),
    });
    for (const path of paths.toSpliced(1, 1)) {
      expect(sha256(readFileSync(join(outDir, path))), path).toBe(sha256(whole.contents.get(path)!));
    }
  });

  test('what is written with less precision does not change the masks', async () => {
    const round = (values: Values) =>
      Object.fromEntries(
        Object.entries(values).map(([name, list]) => [
          name,
          toFloat32('BF16', fromFloat32('BF16', Float32Array.from(list))),
        ]),
      );
    const models = [round(largeValues(10)), round(largeValues(20))];
    const [base, ...loaded] = await write(LARGE, [round(largeValues(1)), ...models], ['base', 'one', 'two']);
    const digests = await Promise.all(
      [{}, { out_dtype: 'bfloat16' as const }].map(async (more) => {
        const { contents } = await merge({ method: 'emr', ...more }, base!, loaded, { threads: 1 });
        return sha256(contents.get('masks/two.safetensors')!);
      }),
    );
    expect(new Set(digests).size).toBe(1);
  });
});
