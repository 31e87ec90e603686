import { Type } from '@amalgam/contracts';
import { addBlend } from './combine.js';
import { defineMethod } from './definition.js';
import { density, FLOAT32 } from './parameters.js';

const count = (value: number, maximum: number, description: string) =>
  Type.Integer({ default: value, minimum: 1, maximum, description });

/** One schema of an array or null, not a union of two: an error then names the one rule that is broken. */
const clamp = Type.Unsafe<[number, number] | null>({
  type: ['array', 'null'],
  items: { type: 'number', ...FLOAT32 },
  minItems: 2,
  maxItems: 2,
  default: [0, 1],
  description: 'Least and largest effective coefficient; null: any. No gradient beyond them',
});

export const adamerging = defineMethod({
  name: 'adamerging',
  summary: 'Base plus task vectors, with coefficients learned from unlabelled data by minimising entropy',
  formula:
    'θ = θ₀ + Σ clamp(λᵢ) τᵢ,  τᵢ = θᵢ − θ₀;  one λᵢ for each model (granularity task), or for each tensor and model (layer);  ' +
    'λ minimises Σ over tasks of the mean entropy −Σ p ln p of the predictions p (Adam);  sign_resolve: τᵢ trimmed and sign-elected ' +
    'as in ties, s = Σ τᵢ with γ = + where s ≥ 0, else −, entries of the other sign set to 0',
  source: 'Yang et al., AdaMerging: Adaptive Model Merging for Multi-Task Learning, ICLR 2024',
  notes: [
    'sign_resolve true is AdaMerging++: TIES’ steps 1 and 2 with unit weights and one threshold for each model over all merged tensors; of exact ties at the threshold and sums of exactly 0 the notes of ties hold. The entries that agree are summed with the coefficients, not averaged.',
    'The paper takes one batch of each task a step, the authors’ code two, whose losses it adds: batches_per_step 2 with batch_size 16.',
    'The authors’ code clamps to [0, 1], as here; FusionBench does not clamp (clamp null), takes 1000 steps, and adds 1e-8 inside the logarithm.',
    'The order that shuffle draws is part of what a recipe means: it follows from seed, task’s name, number of rows and cycle alone (Fisher and Yates with the words of SHA-256), and does not change with versions or machines.',
    'A layer is one parameter tensor, weight and bias each, as in the authors’ code.',
    'A model whose coefficient is 0 in a tensor does not enter that tensor at all, so coefficients of 0 give the base bit by bit.',
  ],
  base: 'required',
  models: { minimum: 1, maximum: null },
  parameters: Type.Object(
    {
      granularity: Type.Enum(['layer', 'task'], {
        default: 'layer',
        description: 'One coefficient for each tensor and model, or for each model',
      }),
      sign_resolve: Type.Boolean({
        default: false,
        description: 'AdaMerging++: trim the task vectors and keep what agrees with the elected sign',
      }),
      density: density(0.2, 'With sign_resolve: share of each task vector that survives the trim, in (0, 1]'),
      init: Type.Number({ ...FLOAT32, default: 0.3, description: 'Every coefficient before the first step' }),
      clamp,
      steps: count(500, 100_000, 'Steps of the optimiser'),
      batch_size: count(16, 65_536, 'Rows of a batch'),
      batches_per_step: count(1, 1024, 'Batches of each task in a step; their losses are added'),
      learning_rate: Type.Number({
        default: 0.001,
        exclusiveMinimum: 0,
        maximum: 1000,
        description: 'Of Adam (betas 0.9 and 0.999, epsilon 1e-8)',
      }),
      sampling: Type.Enum(['shuffle', 'sequential'], {
        default: 'shuffle',
        description:
          'Order of a dataset’s rows; sequential: batch i is rows [i·B, (i+1)·B), cycled over the whole batches',
      }),
      seed: Type.Integer({ default: 0, minimum: 0, maximum: 2 ** 32 - 1, description: 'Of the shuffling' }),
      loss: Type.Enum(['entropy'], { default: 'entropy', description: 'What the coefficients minimise' }),
      task_vector_dtype: Type.Enum(['float32', 'float16', 'bfloat16'], {
        default: 'float32',
        description:
          'Of the task vectors while tuning: half the size, rounded gradients. The merge itself always computes them in float32',
      }),
    },
    { additionalProperties: false },
  ),
  modelParameters: Type.Object({}, { additionalProperties: false }),
  inputs: 'task_vectors',
  check: ({ global: { clamp, init } }) => {
    if (clamp === null) return [];
    const [low, high] = clamp;
    if (low > high) return [{ pointer: '/parameters/clamp', detail: `${low} must not exceed ${high}` }];
    if (init >= low && init <= high) return [];
    const detail = `${init} lies outside clamp [${low}, ${high}], where there is no gradient: nothing would be learned`;
    return [{ pointer: '/parameters/init', detail }];
  },
  tuned: ({ global }) => ({
    granularity: global.granularity,
    signResolve: global.sign_resolve,
    density: global.density,
    init: global.init,
    clamp: global.clamp,
    steps: global.steps,
    batchSize: global.batch_size,
    batchesPerStep: global.batches_per_step,
    learningRate: global.learning_rate,
    sampling: global.sampling,
    seed: global.seed,
    loss: global.loss,
    taskVectorDtype: global.task_vector_dtype,
  }),
  sparsify: ({ global, models }) => {
    if (!global.sign_resolve) return null;
    const each = (share: number) => models.map(() => share);
    return { by: 'magnitude', scope: 'model', densities: each(global.density), outliers: each(0) };
  },
  electsSigns: ({ global }) => global.sign_resolve,
  resolve(block, { global }) {
    if (!global.sign_resolve) return 0;
    const padded = Math.ceil(block.n / 4) * 4;
    return block.kernels.ops.elect(block.models, block.stride, block.count, padded);
  },
  combine: addBlend,
});
