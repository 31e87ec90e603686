import { OUT_DTYPES, type Recipe } from '@amalgam/contracts';
import {
  isByRow,
  isOverVectors,
  type MergeMethod,
  resolveRecipe,
  type Settings,
  type Sparsify,
} from '@amalgam/methods';
import { compileGlobs } from '@amalgam/tensors';
import { planAdapterResult } from './adapter-result.js';
import { arrangeByName } from './arrangement.js';
import { refuseAdapters, refuseDuplicates } from './check-inputs.js';
import { layOut } from './layout.js';
import { planMemory } from './memory.js';
import { selectTensors } from './select.js';
import { settleTensors } from './settle.js';
import { readBytes } from './source.js';
import type { MergedTensor, MergePlan, ModelInput, PlanOptions, TuningPlan } from './types.js';
import { layOutVectors } from './vector-layout.js';
import { viewStored } from './views.js';

/**
 * Checks a merge completely from headers and lays out its result: no weight is read. Which tensors are merged: `selectTensors`.
 *
 * @throws AmalgamError `invalid_recipe`, `unknown_method`, `duplicate_model`, `tensor_missing`, `shape_mismatch`,
 * `dtype_unsupported` or `memory_limit`, with every problem found.
 */
export function planMerge(
  recipe: Recipe,
  inputs: { base: ModelInput | null; models: ModelInput[] },
  options: PlanOptions = {},
): MergePlan {
  const resolved = resolveRecipe(recipe);
  const { method } = resolved;
  const all = inputs.base === null ? inputs.models : [inputs.base, ...inputs.models];
  refuseDuplicates(inputs.base, inputs.models);
  const adapter = method.adapter?.(resolved.settings);
  if (adapter !== undefined) return planAdapterResult(resolved, adapter, inputs, options);
  refuseAdapters(all);

  const firstModel = inputs.base === null ? 0 : 1;
  const base = inputs.base === null ? null : viewStored(inputs.base, 0);
  const models = inputs.models.map((model, i) => viewStored(model, firstModel + i));
  const selection = selectTensors(arrangeByName(base, models), base, models, {
    selects: compileGlobs(recipe.merge?.include, recipe.merge?.exclude),
    outDtype: recipe.out_dtype === undefined ? undefined : OUT_DTYPES[recipe.out_dtype],
    keepsHeads: true,
  });

  const { merged, settings } = settleTensors(selection.merged, resolved);
  const layout = layOut(merged, selection.copied, selection.heads, resolved.recipe.shard_bytes);
  const memory = planMemory(layout.merged, [...layout.copied, ...layout.heads], method, settings, options);
  const read = streamedBytes(layout.merged, method, settings);

  return {
    recipe: resolved.recipe,
    settings,
    inputs: all,
    hasBase: inputs.base !== null,
    ...layout,
    donor: 0,
    ...memory,
    bytesRead: read + [...layout.copied, ...layout.heads].reduce((sum, t) => sum + t.bytes, 0),
    bytesWritten: layout.files.reduce((sum, file) => sum + file.bytes, 0),
    tuning: planTuning(layout.merged, method, settings[0]!, inputs.models.length, read),
    adapter: null,
    warnings: selection.warnings,
  };
}

/** What one streaming over the merged tensors reads: each once, and once more to find thresholds or inner products. */
function streamedBytes(merged: MergedTensor[], method: MergeMethod, settings: Settings[]): number {
  const passes = settings.map((own) =>
    method.blend !== undefined || seeksBands(method.sparsify?.(own) ?? null) ? 2 : 1,
  );
  return merged.reduce((sum, tensor) => {
    const { base, models, elements } = tensor;
    const needsBase = base !== null && isOverVectors(method, true);
    const sources = needsBase ? [base, ...models] : models;
    const inputs = sources.reduce((all, source) => all + readBytes(source, elements), 0);
    return sum + passes[tensor.settings]! * inputs;
  }, 0);
}

function seeksBands(sparsify: Sparsify | null): boolean {
  return sparsify?.by === 'magnitude' && !isByRow(sparsify);
}

function planTuning(
  merged: MergedTensor[],
  method: MergeMethod,
  own: Settings,
  models: number,
  bytesRead: number,
): TuningPlan | null {
  const settings = method.tuned?.(own);
  if (settings === undefined) return null;
  const dtype = OUT_DTYPES[settings.taskVectorDtype];
  return {
    settings,
    rows: settings.granularity === 'task' ? 1 : merged.length,
    vectorBytes: layOutVectors(merged, models, dtype).bytes,
    bytesRead,
  };
}
