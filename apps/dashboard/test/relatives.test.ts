import type { Coefficients, Recipe, TensorReport } from '@amalgam/contracts';
import { describe, expect, it } from 'vitest';
import { joinCoefficients, meanCoefficients } from '../src/compare/coefficients.js';
import { compareRecipes } from '../src/compare/differences.js';
import { sameTask } from '../src/merge/inputs.js';
import { sharesByLayer } from '../src/merge/layers.js';
import { type LineageNode, layOutLineage, NODE } from '../src/merge/lineage-layout.js';
import { toPython } from '../src/merge/snippets.js';
import { readFilter, toQuery } from '../src/merges/filter.js';

describe('recipes beside each other', () => {
  it('differ where one has something else, or nothing', () => {
    const a = { method: 'ties', parameters: { lambda: [0.2, 0.8] }, models: [{ model: 'x' }] };
    const b = { method: 'ties', parameters: { lambda: 0.5 }, models: [{ model: 'x' }, { model: 'y' }] };
    expect(compareRecipes([a, b])).toEqual([
      { path: 'method', values: ['ties', 'ties'], same: true },
      { path: 'parameters.lambda', values: ['0.2, 0.8', 0.5], same: false },
      { path: 'models.0.model', values: ['x', 'x'], same: true },
      { path: 'models.1.model', values: [undefined, 'y'], same: false },
    ]);
  });

  it('have a task in common where model and data are the same', () => {
    const recipe = (name: string, data: string, evaluation?: string) =>
      ({ tasks: [{ name, model: 'm', graph: 'g', data, evaluation }] }) as unknown as Recipe;
    expect(sameTask(recipe('a', 'd', 'e'), 'a', recipe('b', 'other', 'e'))).toBe('b');
    expect(sameTask(recipe('a', 'd'), 'a', recipe('a', 'other'))).toBeNull();
  });
});

describe('coefficients beside each other', () => {
  const learned = (tensors: string[], values: number[][]): Coefficients => ({
    tensors,
    models: ['m', 'n'],
    values,
    clamp: null,
  });

  it('have all tensors of any, and a model’s rows under each other', () => {
    const { columns, rows } = joinCoefficients([
      { name: 'one', coefficients: learned(['layers.0.w'], [[1, 2]]) },
      {
        name: 'two',
        coefficients: learned(
          ['layers.0.w', 'layers.1.w'],
          [
            [3, 4],
            [5, 6],
          ],
        ),
      },
      { name: 'by task', coefficients: learned(['*'], [[7, 8]]) },
    ]);
    expect(columns.map(({ name }) => name)).toEqual(['layers.0.w', 'layers.1.w']);
    expect(rows).toEqual([
      { name: 'm, one', values: [1, Number.NaN] },
      { name: 'm, two', values: [3, 5] },
      { name: 'n, one', values: [2, Number.NaN] },
      { name: 'n, two', values: [4, 6] },
    ]);
  });

  it('have means over tensors', () => {
    const means = meanCoefficients(
      learned(
        ['a', 'b'],
        [
          [1, 2],
          [3, 6],
        ],
      ),
    );
    expect([...means]).toEqual([
      ['m', 2],
      ['n', 4],
    ]);
  });
});

describe('shares by layer', () => {
  const tensor = (name: string, elements: number, more: Partial<TensorReport>): TensorReport => ({
    name,
    elements,
    norms: [],
    ...more,
  });

  it('count each tensor by its elements', () => {
    const tensors = [
      tensor('layers.0.a', 10, { trimmed: [0.5, 0.7], sign_conflicts: 0.1 }),
      tensor('layers.0.b', 30, { trimmed: [0.9, 0.9], sign_conflicts: 0.3 }),
      tensor('head', 1, { trimmed: [0, 1] }),
    ];
    const [first, other] = sharesByLayer({ tensors });
    expect(first).toMatchObject({ layer: 'layers.0', tensors: 2 });
    expect(first!.trimmed).toBeCloseTo((10 * 0.6 + 30 * 0.9) / 40);
    expect(first!.conflicts).toBeCloseTo(0.25);
    expect(other).toEqual({ layer: 'other', tensors: 1, trimmed: 0.5, conflicts: null });
  });

  it('are none where the method neither trims nor elects', () => {
    expect(sharesByLayer({ tensors: [tensor('layers.0.a', 10, {})] })).toEqual([]);
  });
});

describe('lineage', () => {
  const node = (id: string): LineageNode => ({ id, role: 'model', name: id, href: `#/${id}` });

  it('goes from left to right, each column in the middle, and leaves out empty ones', () => {
    const { nodes, lines, height } = layOutLineage([[node('a'), node('b')], [node('merge')], [], [node('user')]]);
    const [a, b, merge, user] = nodes;
    expect([a!.left, merge!.left > a!.left, user!.left > merge!.left]).toEqual([0, true, true]);
    expect(merge!.top).toBe((a!.top + b!.top) / 2);
    expect(height).toBe(b!.top + NODE.height);
    expect(lines.map(({ id }) => id.split(' ').slice(0, 2))).toEqual([
      ['a', 'merge'],
      ['b', 'merge'],
      ['merge', 'user'],
    ]);
  });
});

describe('the list’s address', () => {
  const read = (text: string) => toQuery(readFilter(new URLSearchParams(text)));

  it('is what the service is asked', () => {
    expect(read('state=failed&method=ties&name=%20nightly%20&metadata=team%3Dvision')).toEqual({
      state: 'failed',
      method: 'ties',
      name: 'nightly',
      metadata: { team: 'vision' },
    });
    expect(read('after=2026-11-23T10:00').created_after).toBe(new Date('2026-11-23T10:00').toISOString());
  });

  it('may have nonsense in it, which narrows nothing', () => {
    expect(read('state=done&metadata=team&after=yesterday&page=3')).toEqual({});
  });
});

describe('values in Python', () => {
  it('are written as Python reads them', () => {
    expect(toPython({ a: null, b: [true, 1.5], 'c"': 'é\n', d: [], e: {} })).toBe(
      '{\n    "a": None,\n    "b": [\n        True,\n        1.5,\n    ],\n    "c\\"": "é\\n",\n    "d": [],\n    "e": {},\n}',
    );
  });
});
