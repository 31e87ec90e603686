import type { FieldError } from '@amalgam/contracts';
import { Type } from '@amalgam/contracts';

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

/** Of the methods that draw masks. */
export const chance = (value: number) =>
  Type.Number({
    default: value,
    minimum: 0,
    maximum: 1,
    description: 'Share of each task vector that is kept on average, in [0, 1]',
  });

/** Of the methods that draw masks. */
export const seed = () =>
  Type.Integer({ default: 0, minimum: 0, maximum: 2 ** 32 - 1, description: 'Of the random masks', uniform: true });

export const rescale = (divisor: string) =>
  Type.Boolean({ default: true, description: `Divide what is kept by its ${divisor}, or as rescale_by says` });

export const consensus = () =>
  Type.Enum(['sum', 'count'], {
    default: 'sum',
    description: 'What elects a sign: the sum of the weighted task vectors, or how many of them have either sign',
  });

/** Of the methods that elect signs and are not ties. */
export const ELECTION_NOTES = [
  'Where the weighted task vectors cancel to exactly 0 the elected sign is +, as in mergekit.',
  'consensus count elects the sign that more of the weighted task vectors have, + where as many have either; mergekit has it in its code, but no method that uses it.',
  'normalize divides by Σ |wᵢ| of what agrees, so a negative weight subtracts; in mergekit it turns the sign back.',
];

export function weightsOf(models: { weight: number }[]): number[] {
  return models.map(({ weight }) => weight);
}

/** Normalising by weights that cancel out has no meaning. */
export function weightsSumToZero(normalized: boolean, models: { weight: number }[]): FieldError[] {
  const total = models.reduce((sum, { weight }) => sum + weight, 0);
  if (!normalized || Math.fround(total) !== 0) return [];
  return [{ pointer: '/parameters/normalize', detail: 'the weights sum to 0, so they cannot be normalised' }];
}
