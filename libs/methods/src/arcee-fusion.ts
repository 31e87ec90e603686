import { Type } from '@amalgam/contracts';
import type { Pointer } from '@amalgam/kernels';
import { type Block, defineMethod } from './definition.js';
import { type Found, marksOf } from './survey.js';

export const arceeFusion = defineMethod({
  name: 'arcee_fusion',
  summary:
    'Takes over from a model the entries that matter most: far from the base, in rows whose softmax has changed most',
  formula:
    'τ = θ₁ − θ₀;  of each row p = softmax(θ₁) + 1e-8, q = softmax(θ₀) + 1e-8, k = Σ p ln(p ÷ q);  importance = |τ| k;  ' +
    'of each tensor Q₁, Q₂, Q₃ = its quartiles, of index floor(share · (d − 1)) in ascending order;  ' +
    'θ = θ₁ where importance ≥ Q₂ + 1.5 (Q₃ − Q₁), else θ₀',
  source: 'mergekit (Arcee Fusion)',
  notes: [
    'A row is the entries that differ in the last index only; a vector is one row.',
    'Quartiles are exact. mergekit draws a million entries at random of a larger tensor, others for each quartile.',
    'Divergences are formed in float64 and importances compared in float32; mergekit’s are float32 throughout, in which small divergences are mostly rounding.',
    'The result has the dtype of the base, or the recipe’s out_dtype; mergekit’s is float32 whatever its inputs are.',
    'In a row of one entry p = q: nothing there is important, and where that holds for a whole tensor all of it is taken over.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: 1 },
  parameters: Type.Object({}, { additionalProperties: false }),
  modelParameters: Type.Object({}, { additionalProperties: false }),
  inputs: 'task_vectors',
  shares:
    () =>
    ({ kernels, rows, length, base, models, scratch, known }) =>
      kernels.ops.rowImportance(base!, models, rows, length, scratch, known ?? 0),
  keepsRows: true,
  surveys: () => [
    {
      kind: 'ranking',
      scope: 'tensor',
      of: 'models',
      valuesOnly: true,
      order: 'magnitude',
      places: ({ elements }) => [0.25, 0.5, 0.75].map((share) => elements - Math.floor(share * (elements - 1))),
      values: 'shares',
    },
  ],
  combine({ kernels, models, base, out, n, found, ...block }) {
    // What is kept has a larger key; magnitudes are in the order of their keys.
    kernels.ops.keepWhere(models, sharesOf(block), n, keyOf(thresholdOf(found)) - 1);
    kernels.ops.addScaled(base!, models, 1, out, n);
    return 0;
  },
});

function sharesOf({ shares }: Pick<Block, 'shares'>): Pointer {
  if (shares === null) throw new TypeError('arcee_fusion looks at whole rows');
  return shares;
}

function thresholdOf(found: Found[]): number {
  const [first, second, third] = marksOf(found, 0)[0]!.map(({ value }) => value) as [number, number, number];
  return second + 1.5 * (third - first);
}

const someValue = new Float32Array(1);
const sameBits = new Uint32Array(someValue.buffer);

/** The bits of a float32 that is not negative. */
function keyOf(value: number): number {
  someValue[0] = value;
  return sameBits[0]!;
}
