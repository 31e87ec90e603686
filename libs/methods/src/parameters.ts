import type { FieldError } from '@amalgam/contracts';
import Type from 'typebox';

/** Parameters that several methods share, so that they are named and bounded alike. */

/** Arithmetic is float32: a larger factor would turn every entry into NaN or infinity. */
export const FLOAT32 = { minimum: -3.4028234663852886e38, maximum: 3.4028234663852886e38 };

export const weight = (value: number) =>
  Type.Number({ ...FLOAT32, default: value, description: 'Factor of this model; may be negative' });

export const normalize = (value: boolean) =>
  Type.Boolean({ default: value, description: 'Divide by the sum of the weights' });

export const lambda = (value: number) =>
  Type.Number({ ...FLOAT32, default: value, description: 'Factor of the merged task vector (scaling coefficient)' });

export const density = (value: number, description = 'Share of each task vector that is kept, in (0, 1]') =>
  Type.Number({ default: value, exclusiveMinimum: 0, maximum: 1, description });

/** Normalising by weights that cancel out has no meaning. */
export function weightsSumToZero(normalized: boolean, models: { weight: number }[]): FieldError[] {
  const total = models.reduce((sum, { weight }) => sum + weight, 0);
  if (!normalized || Math.fround(total) !== 0) return [];
  return [{ pointer: '/parameters/normalize', detail: 'the weights sum to 0, so they cannot be normalised' }];
}
