import type { Rank } from '@amalgam/methods';
import { describe, expect, test } from 'vitest';
import type { Job, Task, Window } from '../src/job.js';
import { cutAt, type Order } from '../src/order.js';
import { planMerge } from '../src/plan.js';
import { type RunTask, searchGroup } from '../src/search.js';
import { withThreads } from '../src/session.js';
import { countElements, sample } from '../src/spans.js';
import { findBands } from '../src/trim.js';
import { input, tempDir, writeModel } from './support.js';

const CHUNK = 2 ** 14;
const ORDER: Order = { survey: null, signed: false, naming: 'place', found: [], tiesMatter: true };

/** Numbers in [0, 1), the same ones each time. */
function draws(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Which entries of a tensor of this size the search samples. */
function sampled(elements: number): (index: number) => boolean {
  const seen = new Uint8Array(elements);
  for (const { start, count } of sample([{ index: 0, elements }])) seen.fill(1, start, start + count);
  return (index) => seen[index] === 1;
}

interface Scene {
  dtype: 'BF16' | 'F32';
  elements: number;
  base?: (index: number) => number;
  value: (index: number) => number;
  ranks: Rank[];
  /** For histograms and lists. */
  bytes?: number;
  order?: Partial<Order>;
}

/** Searches in the threads of a merge; the places by rank, the keys of the task vector, and the tasks that were run. */
async function search({ dtype, elements, base = () => 0, value, ranks, bytes = 48e6, order }: Scene) {
  const dir = tempDir();
  const values = Float32Array.from({ length: elements }, (_, i) => value(i));
  const bases = Float32Array.from({ length: elements }, (_, i) => base(i));
  const files = [
    await input(await writeModel(dir, 'base', { w: { dtype, shape: [elements], values: bases } }), 'base'),
    await input(await writeModel(dir, 'a', { w: { dtype, shape: [elements], values } }), 'a'),
  ];
  const recipe = { method: 'ties', base: 'base', models: [{ model: 'a' }], parameters: { scope: 'tensor' } };
  const plan = planMerge(recipe, { base: files[0]!, models: [files[1]!] }, { threads: 2, chunkElements: CHUNK });
  const tasks: Task[] = [];
  const options = { pathOf: (at: number) => files[at]!.path };
  const whole = { bytesTotal: 0, outWidth: 4, coefficients: null };
  const places = await withThreads(plan, options, whole, ({ job, run }: { job: Job; run: RunTask }) => {
    const noting: RunTask = (task) => {
      tasks.push(task);
      return run(task);
    };
    const group = { tensors: [{ index: 0, elements }], elements };
    const searches = ranks.map((rank) => ({ model: 0, rank }));
    return searchGroup(job, { ...ORDER, ...order }, group, searches, bytes, noting);
  });
  const scans = tasks.flatMap((task) => (task.kind === 'scan' ? [task] : []));
  const windows = scans.flatMap((task) => task.windows.filter((window): window is Window => window !== null));
  return {
    places,
    keys: keysOf(values, bases, dtype),
    windows,
    /** How often all entries were looked at. */
    looks: countElements(scans.flatMap(({ spans }) => spans)) / elements,
  };
}

function keysOf(values: Float32Array, bases: Float32Array, dtype: 'BF16' | 'F32'): Uint32Array {
  const round = (x: number) => (dtype === 'F32' ? x : toBfloat16(x));
  const differences = values.map((x, i) => round(x) - round(bases[i]!));
  return new Uint32Array(differences.buffer).map((bits) => bits & 0x7fffffff);
}

/** Rounded to the nearest, ties to even. */
function toBfloat16(x: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  bits[0] = (bits[0]! + 0x7fff + ((bits[0]! >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(bits.buffer)[0]!;
}

type Searched = Awaited<ReturnType<typeof search>>;

/** As many entries lie up to each place as were asked for: all larger ones, and of its equals those that come first. */
function expectRanks({ places, keys }: Searched, ranks: (number | null)[]): void {
  const upTo = places.map((place) => {
    if (place === null) return null;
    const { key, tieEnd } = cutAt(place, 0);
    return keys.reduce((count, own, i) => count + (own > key || (own === key && i < tieEnd) ? 1 : 0), 0);
  });
  expect(upTo).toEqual(ranks);
  expect(places.every((place) => place === null || keys.includes(place.key))).toBe(true);
}

const kinds = ({ windows }: Searched) => new Set(windows.map(({ kind }) => kind));

describe('where entries lie as the sample says', () => {
  const elements = 2 ** 20;
  const random = draws(1);
  const noise = Float32Array.from({ length: 3 * elements }, () => random() - 0.5);
  const weight = (i: number) => noise[i]! / 10;
  // Of a fine-tune: a small part of the weight's size.
  const tuned = (i: number) => weight(i) + noise[elements + i]! * noise[2 * elements + i]! * 0.02;

  test('float32 is looked at once, and listed', async () => {
    const ranks = [Math.floor(elements / 5), 1000];
    const got = await search({ dtype: 'F32', elements, base: weight, value: tuned, ranks });
    expectRanks(got, ranks);
    expect([got.looks, kinds(got)]).toEqual([1, new Set(['list'])]);
  });

  test('bfloat16 is looked at once, and counted: bins are many keys wide, and those that matter have one', async () => {
    const ranks = [Math.floor(elements / 5), Math.floor(elements / 3)];
    const got = await search({ dtype: 'BF16', elements, base: weight, value: tuned, ranks });
    expectRanks(got, ranks);
    expect([got.looks, kinds(got)]).toEqual([1, new Set(['counts'])]);
    expect(got.windows.every((window) => window.kind === 'counts' && window.shift > 0)).toBe(true);
  });

  test('counts of all tasks are added up where ties do not matter', async () => {
    const ranks = [Math.floor(elements / 5)];
    const got = await search({
      dtype: 'BF16',
      elements,
      base: weight,
      value: tuned,
      ranks,
      // Room for fewer bins than keys.
      bytes: 2 ** 19,
      order: { tiesMatter: false },
    });
    const key = got.places[0]?.key ?? -1;
    const above = got.keys.filter((own) => own > key).length;
    const equal = got.keys.filter((own) => own === key).length;
    expect([above < ranks[0]!, above + equal >= ranks[0]!, got.looks]).toEqual([true, true, 1]);
  });

  test('a bin with several keys is narrowed down', async () => {
    // Every fourth entry is the same; the others are all different, its nearest neighbours among them.
    const value = (i: number) => (i % 4 === 0 ? 1.5 : 1 + ((i * 7919) % elements) / elements);
    const ranks = [(elements * 3) / 8 + 100];
    const got = await search({ dtype: 'F32', elements, value, ranks, bytes: 2 ** 20 });
    expectRanks(got, ranks);
    expect([got.looks, kinds(got)]).toEqual([2, new Set(['counts'])]);
  });

  test('with little memory for lists and bins it takes more looks', async () => {
    const ranks = [Math.floor(elements / 5), elements - 5];
    for (const dtype of ['F32', 'BF16'] as const) {
      const got = await search({ dtype, elements, base: weight, value: tuned, ranks, bytes: 2 ** 14 });
      expectRanks(got, ranks);
      expect(got.looks).toBeGreaterThan(1);
    }
  });
});

describe('where rows differ in scale', () => {
  const [rows, columns] = [768, 1024];
  const elements = rows * columns;
  const random = draws(3);
  // Some rows hardly change, as embeddings of tokens that are rarely seen.
  const scales = Array.from({ length: rows }, () => (random() < 0.3 ? 0.001 : 1) * Math.exp(random() - 0.5));
  const noise = Float32Array.from({ length: elements }, (_, i) => (random() - 0.5) * scales[Math.floor(i / columns)]!);

  test.each(['F32', 'BF16'] as const)(
    '%s is looked at once: the sample tells how much its runs differ',
    async (dtype) => {
      const ranks = [Math.floor(elements / 5), Math.floor(elements / 2)];
      const got = await search({ dtype, elements, value: (i) => noise[i]!, ranks });
      expectRanks(got, ranks);
      expect(got.looks).toBe(1);
    },
  );
});

describe('where the sample misleads', () => {
  const elements = 2 ** 18;
  const isSampled = sampled(elements);
  const rank = elements / 4;
  const distinct = (i: number) => 1 + i / elements;

  test('a list that overflows is counted', async () => {
    // Unseen entries crowd where the sample has one in a few thousand.
    const value = (i: number) => (isSampled(i) ? distinct((i * 100_003) % elements) : 1.75 - (i / elements) * 2 ** -8);
    const got = await search({ dtype: 'F32', elements, value, ranks: [rank] });
    expectRanks(got, [rank]);
    const seen = got.windows.flatMap((window) =>
      window.kind === 'largest' ? [] : [[window.kind, window.low, window.high]],
    );
    const [, low, high] = seen[0]!;
    expect(seen[0]).toEqual(['list', low, high]);
    expect(seen).toContainEqual(['counts', low, high]);
  });

  test('a place above the window is looked for there', async () => {
    const value = (i: number) => (isSampled(i) ? distinct(i) : 4 + distinct(i));
    const got = await search({ dtype: 'F32', elements, value, ranks: [rank, 5] });
    expectRanks(got, [rank, 5]);
    expect(got.looks).toBeGreaterThan(1);
  });

  test('a place below the window is looked for there', async () => {
    const value = (i: number) => (isSampled(i) ? 4 + distinct(i) : distinct(i));
    const got = await search({ dtype: 'F32', elements, value, ranks: [rank, elements - 5] });
    expectRanks(got, [rank, elements - 5]);
    expect(got.looks).toBeGreaterThan(1);
  });

  test('few neighbouring values, all unseen, are counted and the end of the ties is found', async () => {
    const value = (i: number) => (isSampled(i) ? distinct(i) : 4 + (i % 3) / 32);
    const got = await search({ dtype: 'BF16', elements, value, ranks: [rank, elements / 2], bytes: 2 ** 16 });
    expectRanks(got, [rank, elements / 2]);
    expect(got.looks).toBeGreaterThan(1);
  });
});

describe('what each model keeps', () => {
  test.each(['tensor', 'model'])('scope %s: is found alike by one thread and by all', async (scope) => {
    const dir = tempDir();
    const random = draws(5);
    const sizes = { large: 5 * CHUNK + 3, small: 40, one: 1, none: 0 };
    const tensors = (scale: number) =>
      Object.fromEntries(
        Object.entries(sizes).map(([name, elements]) => {
          const values = Float32Array.from({ length: elements }, () => Math.fround((random() - 0.5) * scale));
          return [name, { dtype: 'BF16' as const, shape: [elements], values }];
        }),
      );
    const files = [
      await input(await writeModel(dir, 'base', tensors(1)), 'base'),
      await input(await writeModel(dir, 'a', tensors(1.1)), 'a'),
      await input(await writeModel(dir, 'b', tensors(0.9)), 'b'),
    ];
    const models = [{ model: 'a', parameters: { density: 0.4, gamma: 0.05 } }, { model: 'b' }];
    const recipe = { method: 'breadcrumbs', base: 'base', models, parameters: { scope } };
    const inputs = { base: files[0]!, models: files.slice(1) };
    const plan = planMerge(recipe, inputs, { threads: 2, chunkElements: CHUNK });
    const options = { pathOf: (at: number) => files[at]!.path };
    const whole = { bytesTotal: 0, outWidth: 4, coefficients: null };
    const kinds: string[][] = [];
    const [byOne, byAll] = await withThreads(plan, options, whole, ({ job, run }) =>
      Promise.all(
        [undefined, 0].map((oneThread, i) => {
          const noting: RunTask = (task) => {
            kinds[i] = [...(kinds[i] ?? []), task.kind];
            return run(task);
          };
          return findBands(job, noting, oneThread);
        }),
      ),
    );
    expect(byOne).toEqual(byAll);
    expect(byOne!.byTensor.flat().length).toBeGreaterThan(0);
    expect(new Set(kinds[0])).toEqual(new Set(['search']));
    expect(kinds[1]).toContain('scan');
  });
});

describe('a share of the entries that are not 0', () => {
  const share = { shareOfNonzero: 0.3 };
  const distinct = (i: number) => 1 + ((i * 100_003) % 2 ** 18) / 2 ** 18;
  const nonzeroOf = ({ keys }: Searched) => keys.filter((key) => key !== 0).length;

  test('is found with one look, beside a place that is told', async () => {
    const elements = 2 ** 18;
    // Zeros in stretches, which the sample has more or less of.
    const value = (i: number) => ((i >> 9) % 3 === 0 ? 0 : i % 2 === 0 ? distinct(i) : -distinct(i));
    const got = await search({ dtype: 'F32', elements, value, ranks: [share, 1000] });
    expectRanks(got, [Math.floor(nonzeroOf(got) * 0.3), 1000]);
    expect(got.looks).toBe(1);
  });

  test('is found where all is in the sample, which may have none', async () => {
    const odd = await search({ dtype: 'BF16', elements: 1001, value: (i) => (i % 2) * distinct(i), ranks: [share] });
    expectRanks(odd, [150]);
    const one = await search({ dtype: 'F32', elements: 1001, value: (i) => (i === 7 ? -3 : 0), ranks: [share] });
    expectRanks(one, [1]);
    const none = await search({ dtype: 'F32', elements: 1001, value: () => 0, ranks: [share, 10] });
    expectRanks(none, [null, 10]);
  });

  test('is found where the sample has none of them, and where there are none', async () => {
    const elements = 2 ** 18;
    const isSampled = sampled(elements);
    const hidden = await search({
      dtype: 'F32',
      elements,
      value: (i) => (isSampled(i) ? 0 : distinct(i)),
      ranks: [share],
    });
    expectRanks(hidden, [Math.floor(nonzeroOf(hidden) * 0.3)]);
    const none = await search({ dtype: 'F32', elements, value: () => 0, ranks: [share] });
    expectRanks(none, [null]);
  });
});
