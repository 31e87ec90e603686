import { Type } from '@amalgam/contracts';
import { type Block, defineMethod } from './definition.js';
import { marksOf, type Survey, sumsOf } from './survey.js';

export const sce = defineMethod({
  name: 'sce',
  summary:
    'Base plus task vectors where they differ most (select), weighted by their squares (calculate), of the elected sign (erase)',
  formula:
    'τᵢ = θᵢ − θ₀;  of the entries whose variance over the models is not 0 the floor(select_topk · their number) of largest variance stay, the ' +
    'others become 0;  wᵢ = ‖τᵢ‖² ÷ Σ ‖τⱼ‖²;  γ = + where Σ τᵢ ≥ 0, else −;  A = { i : τᵢ ≠ 0 with sign γ };  ' +
    'θ = θ₀ + Σ_A wᵢ τᵢ ÷ Σ_A wᵢ;  all tensor by tensor',
  source: 'Wan et al., FuseChat: Knowledge Fusion of Chat Models, 2024 (arXiv 2408.07990), SCE; as mergekit does',
  notes: [
    'The weights follow the task vectors whatever their size. mergekit takes equal weights where the mean squares add up to less than 1e-6, as those of most fine-tunes do, and lets Σ_A wᵢ count for 1e-6 at least.',
    'At least one entry stays. Where the variance is 0 everywhere, of one model or of equal ones, there is nothing to select by and all entries stay; mergekit’s result has another shape then.',
    'Among entries of equal variance those of lowest index stay. Variances are formed in float64 and compared in float32.',
    'Where the task vectors add up to exactly 0 the elected sign is +, as in mergekit.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      select_topk: Type.Number({
        default: 1,
        exclusiveMinimum: 0,
        maximum: 1,
        description: 'Share of the entries that stay, those on which the models differ most, in (0, 1]',
      }),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({}, { additionalProperties: false }),
  inputs: 'task_vectors',
  surveys({ global: { select_topk } }): Survey[] {
    const isWhole = select_topk === 1;
    const squares: Survey = {
      kind: 'sums',
      scope: 'tensor',
      measure(block) {
        if (!isWhole) keepSelected(block);
        const { kernels, models, stride, count, n } = block;
        const sums: number[] = [];
        for (let k = 0; k < count; k++) sums.push(kernels.ops.sumSquares(models + k * stride, n));
        return sums;
      },
    };
    if (isWhole) return [squares];
    const ranking: Survey = {
      kind: 'ranking',
      scope: 'tensor',
      of: 'all',
      order: 'magnitude',
      places: () => [{ shareOfNonzero: select_topk }],
      values: writeVariance,
    };
    return [ranking, squares];
  },
  electsSigns: () => true,
  combine(block, { global: { select_topk } }) {
    const { kernels, models, stride, count, weights, base, out, n } = block;
    const isWhole = select_topk === 1;
    if (!isWhole) keepSelected(block);
    const squares = sumsOf(block.found, isWhole ? 0 : 1);
    const total = squares.reduce((sum, x) => sum + x, 0);
    kernels.floats(weights, count).set(squares.map((x) => (total === 0 ? 1 : x / total)));
    const conflicts = kernels.ops.electWeighted(models, stride, count, weights, out, padded(n));
    kernels.ops.addScaled(base!, out, 1, out, n);
    return conflicts;
  },
});

/** Kernels over several task vectors take four elements at a time; zeros lie behind the last. */
function padded(n: number): number {
  return Math.ceil(n / 4) * 4;
}

function writeVariance({ kernels, models, stride, count, out, n }: Block): void {
  kernels.ops.variance(models, stride, count, out, padded(n));
}

const someValue = new Float32Array(1);
const sameBits = new Uint32Array(someValue.buffer);

/** Sets to 0 what is not selected, in every task vector of the block. */
function keepSelected({ kernels, models, stride, count, index, n, found }: Block): void {
  const mark = marksOf(found, 0)[0]?.[0];
  if (mark === undefined) return;
  someValue[0] = mark.value;
  const ties = Math.min(Math.max(mark.tieEnd - index, 0), n);
  kernels.ops.keepVaried(models, stride, count, sameBits[0]!, ties, padded(n));
}
