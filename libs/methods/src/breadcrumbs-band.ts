import { Type } from '@amalgam/contracts';
import type { Settings } from './definition.js';
import { RESCALE_NOTE } from './rescale.js';
import type { ByMagnitude } from './sparsify.js';

/** What breadcrumbs and breadcrumbs_ties share. */

export const BREADCRUMBS_SOURCE =
  'Davari and Belilovsky, Model Breadcrumbs: Scaling Multi-Task Model Merging with Sparse Masks, ECCV 2024';

export const BREADCRUMBS_NOTES = [
  'Exactly max(1, floor(density · d)) entries stay. Where the outliers and what stays would be more than d, fewer outliers are dropped, as in mergekit. Among equal magnitudes those of lowest index count as larger.',
  'scope tensor (default): the shares are those of each tensor, as in the paper and in mergekit; row: of each row (the last dimension), as in the authors’ code; model: of all merged tensors together.',
  'mergekit sets a whole tensor to the base when floor(gamma · d) is 0, in tensors of less than 1/gamma entries say. Here no outlier is dropped then, and the rest is done as ever.',
  'A scalar has one entry, which stays; the authors’ code, which never touches scalars, agrees.',
  RESCALE_NOTE,
];

export const gamma = (value: number) =>
  Type.Number({
    default: value,
    minimum: 0,
    exclusiveMaximum: 1,
    description: 'Share of each task vector’s largest entries that is dropped, in [0, 1)',
  });

export const breadcrumbsScope = () =>
  Type.Enum(['tensor', 'row', 'model'], { default: 'tensor', description: 'What shares one ranking by magnitude' });

type Parameters = Settings<{ scope: 'tensor' | 'row' | 'model' }, { density: number; gamma: number }>;

export function toBand({ global, models }: Parameters): ByMagnitude {
  return {
    by: 'magnitude',
    scope: global.scope,
    densities: models.map(({ density }) => density),
    outliers: models.map((model) => model.gamma),
  };
}
