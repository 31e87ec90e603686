import { describe, expect, it } from 'vitest';
import { movingMean, thin, ticksOf } from '../src/charts/axis.js';
import { colorAt, extentOf } from '../src/charts/color-scale.js';
import { groupColumns } from '../src/charts/groups.js';
import { cellAt, labelFor, layOut } from '../src/charts/heat-map-layout.js';

describe('tensors on a map', () => {
  it('stand by block, blocks by number, and what is in no block at the end', () => {
    const names = ['norm.weight', 'layers.10.b', 'layers.2.b', 'layers.2.a', 'embed.weight', 'v.0.x', '3/kernel'];
    expect(groupColumns(names).map(({ name, group, index }) => [group, name, index])).toEqual([
      ['3', '3/kernel', 6],
      ['layers.2', 'layers.2.a', 3],
      ['layers.2', 'layers.2.b', 2],
      ['layers.10', 'layers.10.b', 1],
      ['v.0', 'v.0.x', 5],
      ['other', 'embed.weight', 4],
      ['other', 'norm.weight', 0],
    ]);
  });

  it('are found where they are drawn, and nothing is beside them', () => {
    const columns = groupColumns(['l.0.a', 'l.0.b', 'l.1.a']);
    const layout = layOut(columns, 2, 63);
    expect(layout.groups.map(({ from, to }) => [from, to])).toEqual([
      [0, 1],
      [2, 2],
    ]);
    for (const [column, left] of layout.left.entries()) {
      expect(cellAt(layout, 2, left + layout.cellWidth / 2, layout.cellHeight * 1.5)).toEqual({ column, row: 1 });
    }
    expect(cellAt(layout, 2, (layout.left[1] ?? 0) + layout.cellWidth + 1, 5)).toBeNull();
    expect(cellAt(layout, 2, 5, layout.cellHeight * 2 + 1)).toBeNull();
    expect(cellAt(layout, 2, -1, 5)).toBeNull();
  });

  it('are never too narrow to point at: a map of many scrolls', () => {
    const columns = groupColumns(Array.from({ length: 300 }, (_, i) => `l.${i}.w`));
    const { cellWidth, width } = layOut(columns, 2, 320);
    expect(cellWidth).toBe(4);
    expect(width).toBe(300 * 4 + 299 * 3);
  });

  it('have of a block’s name what there is room for', () => {
    const measure = (text: string) => text.length * 6;
    expect([200, 60, 10, 3].map((room) => labelFor('encoder.blocks.3', room, measure))).toEqual([
      'encoder.blocks.3',
      'blocks.3',
      '3',
      '',
    ]);
  });
});

describe('scales', () => {
  it('go from the first colour to the last, and no further', () => {
    expect(colorAt(0)).toEqual([68, 1, 84]);
    expect(colorAt(1)).toEqual([253, 231, 37]);
    expect(colorAt(7)).toEqual(colorAt(1));
    expect(colorAt(0.5)).toEqual([33, 144, 141]);
  });

  it('span the numbers that there are', () => {
    expect(extentOf([3, Number.NaN, -1])).toEqual([-1, 3]);
    expect(extentOf([])).toEqual([0, 1]);
    const [least, most] = extentOf([2, 2]);
    expect(least).toBeLessThan(2);
    expect(most).toBeGreaterThan(2);
  });

  it('are marked at round numbers', () => {
    expect(ticksOf(0.13, 0.62, 4)).toEqual([0.2, 0.4, 0.6]);
    expect(ticksOf(0, 0.3, 3)).toEqual([0, 0.1, 0.2, 0.3]);
    expect(ticksOf(1, 500, 5)).toEqual([100, 200, 300, 400, 500]);
    expect(ticksOf(2, 2, 5)).toEqual([2]);
  });

  it('show where a line goes by the mean of its last points', () => {
    expect(movingMean([4, 2, 3, 7, 2], 3)).toEqual([4, 3, 3, 4, 4]);
    expect(movingMean([4, 2], 1)).toEqual([4, 2]);
  });

  it('leave out points of long lines, never the first or the last', () => {
    expect(thin(3, 10)).toEqual([0, 1, 2]);
    const chosen = thin(100_001, 5);
    expect(chosen).toEqual([0, 25_000, 50_000, 75_000, 100_000]);
  });
});
