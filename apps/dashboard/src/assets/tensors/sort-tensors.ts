import type { TensorInfo } from '@amalgam/contracts';

export const COLUMNS = ['name', 'dtype', 'shape', 'elements', 'file'] as const;
export type Column = (typeof COLUMNS)[number];

export interface Order {
  column: Column;
  down: boolean;
}

export interface Row extends TensorInfo {
  elements: number;
}

export function toRow(tensor: TensorInfo): Row {
  return { ...tensor, elements: tensor.shape.reduce((product, size) => product * size, 1) };
}

/** Digits in names count as numbers: layer 2 comes before layer 10. */
const { compare } = new Intl.Collator('en', { numeric: true });

const BY: Record<Column, (a: Row, b: Row) => number> = {
  name: (a, b) => compare(a.name, b.name),
  dtype: (a, b) => compare(a.dtype, b.dtype),
  shape: (a, b) => byShape(a.shape, b.shape),
  elements: (a, b) => a.elements - b.elements,
  file: (a, b) => compare(a.file, b.file),
};

/** Those whose name holds every word of the search, whatever its case, in order. */
export function findTensors(rows: readonly Row[], search: string, { column, down }: Order): Row[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter(({ name }) => words.every((word) => name.toLowerCase().includes(word)));
  const by = BY[column];
  return found.sort((a, b) => (down ? by(b, a) : by(a, b)));
}

function byShape(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
