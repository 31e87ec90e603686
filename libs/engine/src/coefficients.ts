import { AmalgamError, quote } from '@amalgam/contracts';
import { getMethod } from '@amalgam/methods';
import type { MergePlan } from './types.js';

/** Coefficients as they enter the merge, clamped: a row by tensor's name, or the single row `*` for all; columns are models. */
export interface EffectiveCoefficients {
  tensors: readonly string[];
  values: readonly (readonly number[])[];
}

/**
 * A row of float32 values for each of the plan's merged tensors; null for methods that learn none.
 *
 * @throws AmalgamError `internal`: they come from the tuning, so it is no user's mistake when they do not fit.
 */
export function coefficientRows(plan: MergePlan, given: EffectiveCoefficients | undefined): number[][] | null {
  const { method } = plan.recipe;
  const isTuned = getMethod(method).tuned !== undefined;
  if (given === undefined) {
    if (isTuned) throw wrong(`${method} merges with learned coefficients, and there are none`);
    return null;
  }
  if (!isTuned) throw wrong(`${method} takes no learned coefficients`);
  const { tensors, values } = given;
  if (tensors.length !== values.length) throw wrong(`${tensors.length} names, but ${values.length} rows`);
  const rows = new Map(tensors.map((name, i) => [name, toRow(name, values[i]!, plan.recipe.models.length)]));
  if (rows.size !== tensors.length) throw wrong('a tensor has two rows');

  const shared = tensors.length === 1 && tensors[0] === '*' ? rows.get('*') : undefined;
  const found = plan.merged.map(({ name }) => {
    const row = shared ?? rows.get(name);
    if (row === undefined) throw wrong(`tensor ${quote(name)} has no row`);
    return row;
  });
  if (shared === undefined && rows.size > found.length) {
    const merged = new Set(plan.merged.map(({ name }) => name));
    throw wrong(`tensor ${quote(tensors.find((name) => !merged.has(name))!)} is not merged`);
  }
  return found;
}

function toRow(name: string, values: readonly number[], models: number): number[] {
  if (values.length !== models) {
    throw wrong(`row ${quote(name)} has ${values.length} values for ${models} models`);
  }
  return values.map((value, model) => {
    const rounded = Math.fround(value);
    if (!Number.isFinite(rounded)) throw wrong(`row ${quote(name)} has ${value} for models/${model}`);
    return rounded;
  });
}

function wrong(detail: string): AmalgamError {
  return new AmalgamError('internal', `coefficients: ${detail}`);
}
