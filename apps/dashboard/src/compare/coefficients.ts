import type { Coefficients } from '@amalgam/contracts';
import type { HeatRow } from '../charts/draw-heat-map.js';
import { type Column, groupColumns } from '../charts/groups.js';

interface Learned {
  /** What the merge is called. */
  name: string;
  coefficients: Coefficients;
}

/** Coefficients of several merges on one map: tensors that any of them has, and a row for each merge and model. */
export function joinCoefficients(learned: readonly Learned[]): { columns: Column[]; rows: HeatRow[] } {
  const byTensor = learned.filter(({ coefficients }) => !isTaskwise(coefficients));
  const columns = groupColumns([...new Set(byTensor.flatMap(({ coefficients }) => coefficients.tensors))]);
  const rows = byTensor.flatMap(({ name, coefficients: { tensors, models, values } }) => {
    const at = new Map(tensors.map((tensor, i) => [tensor, i]));
    return models.map((model, k) => ({
      name: `${model}, ${name}`,
      values: columns.map((column) => values[at.get(column.name) ?? -1]?.[k] ?? Number.NaN),
    }));
  });
  // A model's rows of all merges under each other.
  const order = [...new Set(byTensor.flatMap(({ coefficients }) => coefficients.models))];
  const place = (row: HeatRow) => order.findIndex((model) => row.name.startsWith(`${model}, `));
  return { columns, rows: rows.toSorted((a, b) => place(a) - place(b)) };
}

/** One row that serves all tensors. */
export function isTaskwise({ tensors }: Coefficients): boolean {
  return tensors.length === 1 && tensors[0] === '*';
}

/** The mean over tensors, by model. */
export function meanCoefficients({ models, values }: Coefficients): Map<string, number> {
  return new Map(
    models.map((model, k) => [model, values.reduce((sum, row) => sum + (row[k] ?? 0), 0) / Math.max(1, values.length)]),
  );
}
