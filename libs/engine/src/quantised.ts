import { type Dtype, type FieldProblem, problemsError, quote } from '@amalgam/contracts';
import type { MergeInputs } from './check-inputs.js';
import type { ModelInput } from './types.js';

/**
 * How the formats of quantised weights name what belongs to a weight; $1 is the module, or the parameter of a stack of experts.
 * DeepSeek and transformers' fp8: weight_scale_inv; compressed-tensors, fbgemm, ModelOpt: weight_scale, weight_packed; ComfyUI:
 * scale_weight; GPTQ and AWQ: qweight with scales; bitsandbytes: weight.absmax, SCB; MXFP4: _blocks with _scales.
 */
const WEIGHTS: readonly { weight: RegExp; dtypes: readonly Dtype[]; companions: readonly string[] }[] = [
  {
    weight: /^(.+)$/,
    dtypes: ['F8_E4M3', 'F8_E5M2', 'I8', 'U8'],
    companions: ['$1_scale_inv', '$1_scale', '$1.absmax', '$1.quant_map'],
  },
  { weight: /^(.+)\.weight$/, dtypes: ['F8_E4M3', 'F8_E5M2', 'I8'], companions: ['$1.scale_weight', '$1.SCB'] },
  { weight: /^(.+)\.qweight$/, dtypes: ['I32'], companions: ['$1.scales'] },
  { weight: /^(.+)_packed$/, dtypes: ['I32', 'U8'], companions: ['$1_scale'] },
  { weight: /^(.+)_blocks$/, dtypes: ['U8'], companions: ['$1_scales'] },
];

/** A weight that is stored without its scale, which another tensor has. */
interface ScaledWeight {
  weight: string;
  dtype: Dtype;
  scale: string;
}

/** The first such weight among those that are asked for, in the order of names; null: the stored numbers are the weights. */
function findScaledWeight(
  { tensors }: ModelInput['checkpoint'],
  selects: (name: string) => boolean,
): ScaledWeight | null {
  for (const { name, dtype } of tensors.values()) {
    const scale = selects(name) ? scaleOf(name, dtype, (other) => tensors.has(other)) : null;
    if (scale !== null) return { weight: name, dtype, scale };
  }
  return null;
}

function scaleOf(name: string, dtype: Dtype, has: (name: string) => boolean): string | null {
  for (const { weight, dtypes, companions } of WEIGHTS) {
    const stem = dtypes.includes(dtype) ? weight.exec(name)?.[1] : undefined;
    if (stem === undefined) continue;
    const scale = companions.map((companion) => companion.replace('$1', () => stem)).find(has);
    if (scale !== undefined) return scale;
  }
  return null;
}

/**
 * Float8 without scales is merged as any other dtype, and `readScaled` reads float8 with them. Other numbers that mean nothing without
 * a scale are not merged: their sum would be a sum in different units.
 *
 * @throws AmalgamError `dtype_unsupported` for each model with such weights, naming one and its scale
 */
export function refuseQuantised({ base, models }: MergeInputs, selects: (name: string) => boolean): void {
  const inputs = models.map((model, i) => ({ ...model, pointer: `/models/${i}/model` }));
  const all = base === null ? inputs : [{ ...base, pointer: '/base' }, ...inputs];
  const errors = all.flatMap(({ pointer, reference, checkpoint }): FieldProblem[] => {
    const found = findScaledWeight(checkpoint, selects);
    if (found === null) return [];
    const detail =
      `"${reference}": the tensor ${quote(found.weight)} is stored in ${found.dtype} with its scale in ${quote(found.scale)}; ` +
      'quantised weights are not merged: save the model in bfloat16 first';
    return [{ code: 'dtype_unsupported', pointer, detail }];
  });
  if (errors.length > 0) throw problemsError(errors);
}
