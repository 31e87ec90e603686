/** mergekit's methods and their parameters (version 0.1.4), and what each means in ours. */

export interface Parameter {
  /** Ours; null: it has no effect on the result, in mergekit neither. */
  to: string | null;
  kind: 'number' | 'integer' | 'boolean';
  /** mergekit's; undefined: there is none. */
  fallback?: number | boolean;
  required?: true;
  /** In place of the value itself. */
  convert?: (value: unknown) => unknown;
}

export interface Translation {
  /** Of the merge; mergekit looks for them in slices, modules and the document. */
  global: Record<string, Parameter>;
  /** Of a model; mergekit looks for them with the model first. */
  perModel: Record<string, Parameter>;
  /** Ours that mergekit's meaning needs, whatever the document says. */
  fixed?: Record<string, unknown>;
  /**
   * What the method does with the base. origin: it is what task vectors start from, never one of the models. first: one of
   * two models, the first of ours. model: it is merged as any other.
   */
  base: 'origin' | 'first' | 'model';
  /** When a base that the list of models does not name is merged too. */
  joins?: 'always' | 'with weight';
  /** Without a base it is no error. */
  baseOptional?: true;
  /** It elects signs. */
  elects?: true;
  /** What differs from mergekit in every merge with this method. */
  differs?: string;
}

const number = (to: string, fallback: number): Parameter => ({ to, kind: 'number', fallback });
const boolean = (to: string, fallback: boolean): Parameter => ({ to, kind: 'boolean', fallback });
const integer = (to: string, fallback: number): Parameter => ({ to, kind: 'integer', fallback });
const WEIGHT: Parameter = { to: 'weight', kind: 'number', required: true };
/** It changes nothing in mergekit's results. */
const NO_EFFECT: Parameter = { to: null, kind: 'boolean' };
/** More than all is all. */
const density: Parameter = {
  to: 'density',
  kind: 'number',
  fallback: 1,
  convert: (value) => (typeof value === 'number' ? Math.min(value, 1) : value),
};

interface Arithmetic {
  normalize: boolean;
  rescale: boolean;
  keeps: 'all' | 'magnitude' | 'chance';
  elects?: true;
}

/** task_arithmetic and what has become of it. */
function arithmetic(
  { normalize, rescale, keeps, elects }: Arithmetic,
  own: Record<string, Parameter> = {},
): Translation {
  return {
    global: {
      normalize: boolean('normalize', normalize),
      // Where nothing is dropped there is nothing to make up for.
      rescale: keeps === 'all' ? NO_EFFECT : boolean('rescale', rescale),
      lambda: number('lambda', 1),
      int8_mask: NO_EFFECT,
    },
    perModel: { weight: WEIGHT, density: keeps === 'all' ? { ...NO_EFFECT, kind: 'number' } : density, ...own },
    base: 'origin',
    ...(elects && { elects }),
    ...(keeps === 'chance' && { fixed: { rescale_by: 'sum' }, differs: MASKS }),
  };
}

const MASKS = 'the random masks are others than mergekit’s, which follow the order of its execution';

const byMagnitude = (own: Record<string, Parameter>): Translation => ({
  ...arithmetic({ normalize: false, rescale: false, keeps: 'magnitude' }, own),
  fixed: { scope: 'tensor' },
  differs: 'tensors of less than 1 / gamma entries keep their share; mergekit sets them to the base',
});
const GAMMA = { gamma: number('gamma', 0.01) };
const EPSILON = { epsilon: number('epsilon', 0.15) };

export const METHODS: Readonly<Record<string, Translation>> = {
  linear: {
    global: { normalize: boolean('normalize', true) },
    perModel: { weight: WEIGHT },
    base: 'model',
    joins: 'with weight',
    baseOptional: true,
  },
  slerp: { global: { t: { to: 't', kind: 'number', required: true } }, perModel: {}, base: 'first' },
  nuslerp: {
    global: { nuslerp_row_wise: boolean('row_wise', false), nuslerp_flatten: boolean('flatten', true) },
    perModel: { weight: WEIGHT },
    base: 'origin',
    baseOptional: true,
  },
  multislerp: {
    global: { normalize_weights: boolean('normalize_weights', true), eps: number('eps', 1e-8) },
    perModel: { weight: WEIGHT },
    base: 'origin',
    baseOptional: true,
  },
  karcher: {
    global: { max_iter: integer('max_iter', 10), tol: number('tol', 1e-5) },
    perModel: {},
    base: 'model',
    joins: 'always',
    baseOptional: true,
  },
  task_arithmetic: arithmetic({ normalize: false, rescale: false, keeps: 'all' }),
  ties: {
    ...arithmetic({ normalize: true, rescale: false, keeps: 'magnitude' }),
    global: {
      ...arithmetic({ normalize: true, rescale: false, keeps: 'magnitude' }).global,
      normalize: { ...boolean('combine', true), convert: (value) => (isTrue(value) ? 'mean' : 'sum') },
    },
    fixed: { scope: 'tensor' },
    elects: true,
  },
  dare_linear: arithmetic({ normalize: false, rescale: true, keeps: 'chance' }),
  dare_ties: arithmetic({ normalize: false, rescale: true, keeps: 'chance', elects: true }),
  breadcrumbs: byMagnitude(GAMMA),
  breadcrumbs_ties: { ...byMagnitude(GAMMA), elects: true },
  della: arithmetic({ normalize: true, rescale: true, keeps: 'chance', elects: true }, EPSILON),
  della_linear: arithmetic({ normalize: false, rescale: true, keeps: 'chance' }, EPSILON),
  sce: {
    global: { int8_mask: NO_EFFECT, select_topk: number('select_topk', 1) },
    perModel: {},
    base: 'origin',
    differs:
      'weights follow the task vectors whatever their size; mergekit weighs small ones (mean squares below 1e-6) alike',
  },
  ram: { global: { epsilon: number('epsilon', 1e-5) }, perModel: {}, base: 'origin' },
  ramplus_tl: {
    global: { r: number('r', 0.1), alpha: number('alpha', 0.2), epsilon: number('epsilon', 1e-5) },
    perModel: {},
    base: 'origin',
    differs: 'the result keeps the base’s dtype; mergekit writes float32 unless out_dtype is given',
  },
  model_stock: {
    global: { filter_wise: boolean('filter_wise', false) },
    perModel: {},
    base: 'origin',
    differs: 'where task vectors point apart on average the base stays; mergekit leads away from the models there',
  },
  nearswap: { global: { t: { to: 't', kind: 'number', required: true } }, perModel: {}, base: 'origin' },
  arcee_fusion: {
    global: {},
    perModel: {},
    base: 'origin',
    differs: 'quantiles are exact and the result keeps its dtype; mergekit samples large tensors and writes float32',
  },
  passthrough: { global: {}, perModel: { scale: { to: 'scale', kind: 'number' } }, base: 'model', baseOptional: true },
};

/** Every parameter of any method, and those that older versions had. */
export const ALL_PARAMETERS: ReadonlySet<string> = new Set([
  ...Object.values(METHODS).flatMap(({ global, perModel }) => [...Object.keys(global), ...Object.keys(perModel)]),
  'embed_slerp',
]);

/** mergekit reads booleans as numbers, and takes YAML 1.1's words for them. */
export function isTrue(value: unknown): boolean {
  if (typeof value === 'string') return /^(true|yes|on|y)$/i.test(value);
  return value === true || (typeof value === 'number' && value !== 0);
}
