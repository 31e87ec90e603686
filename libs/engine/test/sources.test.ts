import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Dtype, dtypeBytes } from '@amalgam/contracts';
import { Kernels } from '@amalgam/kernels';
import { fromFloat32, toFloat32 } from '@amalgam/tensors';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Files } from '../src/files.js';
import type { JobSource, JobStored } from '../src/job.js';
import { dtypeOf, type Factor, type LowRank, type PickedRows, type RowPicks, type Scaled } from '../src/source.js';
import { SourceReader } from '../src/source-reader.js';
import { tempDir } from './support.js';

const f = Math.fround;

/** A file that tensors are put into one after the other, and what they hold after rounding. */
class Archive {
  readonly #parts: Uint8Array[] = [];
  #end = 0;

  put(dtype: Dtype, values: number[] | Float32Array): JobStored & { values: Float32Array } {
    const bytes = fromFloat32(dtype, Float32Array.from(values));
    const begin = this.#end;
    this.#parts.push(bytes);
    this.#end += bytes.length;
    return { kind: 'stored', input: 0, begin, dtype, values: toFloat32(dtype, bytes) };
  }

  /** A matrix that is stored as it is, or turned around. */
  factor(dtype: Dtype, rows: number, columns: number, values: number[], transposed: boolean) {
    const stored = transposed
      ? Array.from({ length: rows * columns }, (_, at) => values[(at % rows) * columns + Math.floor(at / rows)]!)
      : values;
    const source = this.put(dtype, stored);
    const at = (i: number, j: number) => source.values[transposed ? j * rows + i : i * columns + j]!;
    return { factor: { source, transposed } satisfies Factor<JobStored>, at };
  }

  /** What a reader finds in elements [first, last), with buffers laid out for `source`. */
  read(source: JobSource, ranges: [number, number][]): Float32Array[] {
    const path = join(tempDir(), 'archive.bin');
    writeFileSync(path, Buffer.concat(this.#parts));
    const kernels = new Kernels();
    const reader = new SourceReader({ tensors: [], copies: [source] }, kernels, new Files([path]));
    return ranges.map(([first, last]) => {
      const into = kernels.allocate((last - first) * 8);
      reader.read(0, source, first, last, into);
      const dtype = dtypeOf(source);
      return toFloat32(dtype, kernels.bytes(into, (last - first) * dtypeBytes(dtype)).slice());
    });
  }
}

const value = fc.float({ noNaN: true, noDefaultInfinity: true, min: -4, max: 4 });
const floats = fc.constantFrom<Dtype>('F32', 'BF16', 'F16', 'F64', 'F8_E4M3');
const list = (n: number) => fc.array(value, { minLength: n, maxLength: n });

/** Ranges that cut and cover rows in every way. */
function ranges(elements: number, cuts: number[]): [number, number][] {
  const at = [...new Set([0, ...cuts.map((cut) => cut % (elements + 1)), elements])].sort((a, b) => a - b);
  return at.slice(1).map((end, i) => [at[i]!, end]);
}

function expectSame(found: Float32Array[], expected: Float32Array): void {
  const joined = Float32Array.from(found.flatMap((part) => [...part]));
  const wrong = joined.findIndex((x, i) => !Object.is(x, expected[i]) && !(x === 0 && expected[i] === 0));
  expect(wrong === -1 ? null : [wrong, joined[wrong], expected[wrong]]).toBeNull();
  expect(joined.length).toBe(expected.length);
}

describe('a matrix plus a product of low rank', () => {
  const shape = fc.record({
    rows: fc.integer({ min: 1, max: 40 }),
    columns: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(511, 512, 513, 1027)),
    rank: fc.integer({ min: 0, max: 5 }),
  });
  const cases = shape.chain((size) =>
    fc.record({
      size: fc.constant(size),
      base: fc.option(fc.tuple(floats, list(size.rows * size.columns))),
      left: fc.tuple(floats, list(size.rows * size.rank), fc.boolean()),
      right: fc.tuple(floats, list(size.rank * size.columns), fc.boolean()),
      scale: fc.constantFrom(1, 2, 0.3, -1.5),
      cuts: fc.array(fc.nat(), { maxLength: 6 }),
    }),
  );

  test('equals sums in float32 with ascending k, for any range, dtype and orientation', () => {
    fc.assert(
      fc.property(cases, ({ size: { rows, columns, rank }, base, left, right, scale, cuts }) => {
        const archive = new Archive();
        const own = base === null ? null : archive.put(...base);
        const a = archive.factor(left[0], rows, rank, left[1], left[2]);
        const b = archive.factor(right[0], rank, columns, right[1], right[2]);
        const source: LowRank<JobStored> = {
          ...{ kind: 'low_rank', base: own, rows, columns, rank, scale },
          ...{ left: a.factor, right: b.factor },
        };
        const expected = new Float32Array(rows * columns);
        for (let i = 0; i < rows; i++) {
          for (let j = 0; j < columns; j++) {
            let sum = 0;
            for (let k = 0; k < rank; k++) sum = f(sum + f(a.at(i, k) * b.at(k, j)));
            expected[i * columns + j] = f((own?.values[i * columns + j] ?? 0) + f(sum * f(scale)));
          }
        }
        expectSame(archive.read(source, ranges(rows * columns, cuts)), expected);
      }),
      { numRuns: 150 },
    );
  });

  test('factors that are larger than what is read at a time', () => {
    const archive = new Archive();
    const [rows, columns, rank] = [3, 30_000, 7];
    const wave = (n: number, step: number) => Array.from({ length: n }, (_, i) => f(Math.sin(i * step)));
    const a = archive.factor('F32', rows, rank, wave(rows * rank, 0.7), false);
    const b = archive.factor('F32', rank, columns, wave(rank * columns, 0.013), true);
    const source: LowRank<JobStored> = {
      ...{ kind: 'low_rank', base: null, rows, columns, rank, scale: 1, left: a.factor, right: b.factor },
    };
    const expected = Float32Array.from({ length: rows * columns }, (_, at) => {
      let sum = 0;
      for (let k = 0; k < rank; k++) sum = f(sum + f(a.at(Math.floor(at / columns), k) * b.at(k, at % columns)));
      return sum;
    });
    expectSame(archive.read(source, ranges(rows * columns, [17, 45_001])), expected);
  });
});

/** The number that an entry of a matrix stands for. */
function weightAt(
  weight: Float32Array,
  scale: Float32Array,
  { columns, blockRows, blockColumns }: Pick<Scaled<JobStored>, 'columns' | 'blockRows' | 'blockColumns'>,
  at: number,
): number {
  const [i, j] = [Math.floor(at / columns), at % columns];
  const across = Math.ceil(columns / blockColumns);
  return f(weight[at]! * scale[Math.floor(i / blockRows) * across + Math.floor(j / blockColumns)]!);
}

describe('a matrix in units of scales', () => {
  const size = fc.record({
    rows: fc.integer({ min: 1, max: 30 }),
    columns: fc.integer({ min: 1, max: 30 }),
    blockRows: fc.integer({ min: 1, max: 40 }),
    blockColumns: fc.integer({ min: 1, max: 40 }),
  });
  const cases = size.chain((blocks) =>
    fc.record({
      blocks: fc.constant(blocks),
      weight: fc.tuple(fc.constantFrom<Dtype>('F8_E4M3', 'F8_E5M2'), list(blocks.rows * blocks.columns)),
      scale: fc.tuple(
        fc.constantFrom<Dtype>('F32', 'BF16', 'F16'),
        list(Math.ceil(blocks.rows / blocks.blockRows) * Math.ceil(blocks.columns / blocks.blockColumns)),
      ),
      cuts: fc.array(fc.nat(), { maxLength: 6 }),
    }),
  );

  test('has each number times its block’s scale in float32, for any shape, block and range', () => {
    fc.assert(
      fc.property(cases, ({ blocks, weight, scale, cuts }) => {
        const archive = new Archive();
        const [own, units] = [archive.put(...weight), archive.put(...scale)];
        const source: Scaled<JobStored> = { kind: 'scaled', weight: own, scale: units, ...blocks };
        const elements = blocks.rows * blocks.columns;
        const expected = own.values.map((_, at) => weightAt(own.values, units.values, blocks, at));
        expectSame(archive.read(source, ranges(elements, cuts)), expected);
      }),
      { numRuns: 300 },
    );
  });

  test('more scales than are read at a time', () => {
    const archive = new Archive();
    const blocks = { rows: 40_000, columns: 3, blockRows: 1, blockColumns: 2 };
    const wave = (n: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * 0.7));
    const [own, units] = [archive.put('F8_E4M3', wave(120_000)), archive.put('F32', wave(80_000))];
    const source: Scaled<JobStored> = { kind: 'scaled', weight: own, scale: units, ...blocks };
    const expected = own.values.map((_, at) => weightAt(own.values, units.values, blocks, at));
    expectSame(archive.read(source, ranges(120_000, [4, 70_001])), expected);
  });

  test('can have a product added to it, and its rows picked', () => {
    const archive = new Archive();
    const blocks = { rows: 5, columns: 4, blockRows: 2, blockColumns: 3 };
    const own = archive.put(
      'F8_E4M3',
      Array.from({ length: 20 }, (_, i) => i - 7),
    );
    const units = archive.put('F32', [0.3, 1.7, -2.1, 0.01, 5, 0.9]);
    const scaled: Scaled<JobStored> = { kind: 'scaled', weight: own, scale: units, ...blocks };
    const a = archive.factor('F32', 5, 1, [1, 2, 3, 4, 5], false);
    const b = archive.factor('F32', 1, 4, [0.1, 0.2, 0.3, 0.4], false);
    const product: LowRank<JobStored> = {
      ...{ kind: 'low_rank', base: scaled, rows: 5, columns: 4, rank: 1, scale: 0.5 },
      ...{ left: a.factor, right: b.factor },
    };
    const plain = own.values.map((_, at) => weightAt(own.values, units.values, blocks, at));
    const adapted = plain.map((x, at) => f(x + f(f(a.at(Math.floor(at / 4), 0) * b.at(0, at % 4)) * 0.5)));
    expectSame(archive.read(product, ranges(20, [3])), adapted);
    const pick = toPicks([
      { rows: 2, from: [{ input: 0, row: 3 }] },
      { rows: 1, from: [{ input: 0, row: 0 }] },
    ]);
    const rows: PickedRows<JobStored> = { kind: 'rows', rowElements: 4, of: [scaled], pick };
    expectSame(archive.read(rows, ranges(12, [5])), Float32Array.from([...plain.slice(12), ...plain.slice(0, 4)]));
  });
});

/** Runs of rows, each with its sources; the rows of a run follow one another in its sources. */
function toPicks(runs: { rows: number; from: { input: number; row: number }[] }[]): RowPicks {
  const starts = [0];
  const begins = [0];
  for (const { rows, from } of runs) {
    starts.push(starts.at(-1)! + rows);
    begins.push(begins.at(-1)! + from.length);
  }
  const from = runs.flatMap((run) => run.from);
  return {
    rows: starts.at(-1)!,
    starts: Int32Array.from(starts),
    begins: Int32Array.from(begins),
    inputs: Int32Array.from(from, ({ input }) => input),
    firstRows: Int32Array.from(from, ({ row }) => row),
  };
}

describe('rows of other sources', () => {
  const STORED_ROWS = 12;
  const run = fc.integer({ min: 1, max: 4 }).chain((rows) =>
    fc.record({
      rows: fc.constant(rows),
      from: fc.array(fc.record({ input: fc.nat(2), row: fc.nat(STORED_ROWS - rows) }), { maxLength: 3 }),
    }),
  );
  const cases = fc.integer({ min: 1, max: 9 }).chain((width) =>
    fc.record({
      width: fc.constant(width),
      tables: fc.array(fc.tuple(floats, list(STORED_ROWS * width)), { minLength: 2, maxLength: 2 }),
      factors: fc.tuple(list(STORED_ROWS * 2), list(2 * width)),
      runs: fc.array(run, { minLength: 1, maxLength: 8 }),
      cuts: fc.array(fc.nat(), { maxLength: 6 }),
    }),
  );

  test('are copies, means or zeros, for any range; a source may be a product itself', () => {
    fc.assert(
      fc.property(cases, ({ width, tables, factors, runs, cuts }) => {
        const archive = new Archive();
        const stored = tables.map((table) => archive.put(...table));
        const a = archive.factor('F32', STORED_ROWS, 2, factors[0], false);
        const b = archive.factor('F32', 2, width, factors[1], false);
        const product: LowRank<JobStored> = {
          ...{ kind: 'low_rank', base: stored[0]!, rows: STORED_ROWS, columns: width, rank: 2, scale: 2 },
          ...{ left: a.factor, right: b.factor },
        };
        const dense = stored[0]!.values.map((x, at) => {
          const [i, j] = [Math.floor(at / width), at % width];
          const sum = f(f(0 + f(a.at(i, 0) * b.at(0, j))) + f(a.at(i, 1) * b.at(1, j)));
          return f(x + f(sum * 2));
        });
        const values = [...stored.map((own) => own.values), dense];
        const source: PickedRows<JobStored> = {
          ...{ kind: 'rows', rowElements: width, of: [...stored, product], pick: toPicks(runs) },
        };
        const expected = runs.flatMap(({ rows, from }) =>
          Array.from({ length: rows * width }, (_, at) => {
            const own = from.map(({ input, row }) => values[input]![row * width + at]!);
            if (own.length === 0) return 0;
            const sum = own.slice(1).reduce((all, x) => f(all + x), own[0]!);
            return own.length === 1 ? sum : f(sum / own.length);
          }),
        );
        expectSame(archive.read(source, ranges(expected.length, cuts)), Float32Array.from(expected));
      }),
      { numRuns: 150 },
    );
  });
});
