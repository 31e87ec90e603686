import { arrange } from '@amalgam/architecture';
import { OUT_DTYPES, type Recipe } from '@amalgam/contracts';
import {
  isByRow,
  isOverVectors,
  type MergeMethod,
  type ResolvedRecipe,
  resolveRecipe,
  type Settings,
  type Sparsify,
} from '@amalgam/methods';
import { compileGlobs } from '@amalgam/tensors';
import type { TokenPlan } from '@amalgam/tokenizers';
import { planAdapterResult } from './adapter-result.js';
import { listInputs, type MergeInputs, refuseDuplicates, refuseTasks, viewInputs } from './check-inputs.js';
import { layOut } from './layout.js';
import { placeMasks } from './masks.js';
import { planMemory } from './memory.js';
import { checkModifiers, depthsOf, measuresLengths } from './modifiers.js';
import { refuseQuantised } from './quantised.js';
import { checkRankings } from './ranked-groups.js';
import { hasScaledWeights, quantisationPaths, readScaled, tellScaled } from './scaled-weights.js';
import { selectTensors } from './select.js';
import { settleTensors } from './settle.js';
import { readBytes } from './source.js';
import { checkSurveys } from './surveys.js';
import type { MergedTensor, MergePlan, PlanOptions, TuningPlan } from './types.js';
import { refuseBaseless, refuseGradients, tellUnmatched } from './varying.js';
import { layOutVectors } from './vector-layout.js';
import { planVocabulary } from './vocabulary.js';

/**
 * Checks a merge completely from headers and lays out its result: no weight is read. Which tensors are merged: `selectTensors`.
 *
 * @throws AmalgamError `invalid_recipe`, `unknown_method`, `duplicate_model`, `tensor_missing`, `shape_mismatch`,
 * `dtype_unsupported` or `memory_limit`, with every problem found.
 */
export function planMerge(recipe: Recipe, given: MergeInputs, options: PlanOptions = {}): MergePlan {
  const resolved = resolveRecipe(recipe);
  const { method } = resolved;
  const hasBase = given.base !== null;
  refuseDuplicates(given, isOverVectors(method, hasBase));
  const adapter = method.adapter?.(resolved.settings);
  if (adapter !== undefined) return planAdapterResult(resolved, adapter, given, options);

  refuseTasks(recipe, given);
  const selects = compileGlobs(recipe.merge?.include, recipe.merge?.exclude);
  const keeps = keepsNumbers(resolved, given);
  const inputs = keeps || isBound(recipe, method) ? given : readScaled(given, selects);
  if (!keeps) refuseQuantised(inputs, selects);
  const views = viewInputs(inputs);
  const { base, models } = views;
  const vocabulary = planVocabulary(recipe, method, inputs, views);
  const arrangement = arrange(recipe, inputs, method.models);
  if (arrangement.layers === 0) refuseGradients(recipe);
  refuseBaseless(recipe, method, arrangement.tensors);
  const selection = selectTensors(arrangement.tensors, base, models, {
    selects,
    include: keeps ? [] : (recipe.merge?.include ?? []),
    outDtype: recipe.out_dtype === undefined ? undefined : OUT_DTYPES[recipe.out_dtype],
    keepsHeads: recipe.slices === undefined && recipe.modules === undefined,
    redundant: arrangement.redundant,
    vocabulary,
  });

  const { merged, settings } = settleTensors(selection.merged, resolved);
  checkRankings(method, settings, merged);
  const names = [...merged, ...selection.copied].map(({ name }) => name);
  checkModifiers(recipe, method, () => depthsOf(recipe, names, listInputs(inputs)[0]!.checkpoint));
  checkSurveys(recipe, method, merged, settings);
  const masks = placeMasks(method, inputs.models);
  const layout = layOut(merged, selection.copied, selection.heads, resolved.recipe.shard_bytes, masks);
  const memory = planMemory(layout.merged, [...layout.copied, ...layout.heads], method, settings, options);
  const passes = settings.map((own) => countPasses(recipe, method, own));
  const read = streamedBytes(layout.merged, method, passes);

  return {
    recipe: resolved.recipe,
    settings,
    inputs: listInputs(given),
    hasBase,
    ...layout,
    donor: 0,
    configChanges: { ...arrangement.config, ...inputs.tokens?.config, ...withoutScales(inputs) },
    tokens: hasResult(inputs.tokens) ? inputs.tokens : null,
    ...memory,
    bytesRead: read + [...layout.copied, ...layout.heads].reduce((sum, t) => sum + t.bytes, 0),
    bytesWritten: layout.files.reduce((sum, file) => sum + file.bytes, 0),
    tuning: planTuning(layout.merged, method, settings[0]!, inputs.models.length, read),
    adapter: null,
    warnings: [
      ...arrangement.warnings,
      ...tellScaled(inputs),
      ...(inputs.tokens?.warnings ?? []),
      ...selection.warnings,
      ...tellUnmatched(recipe, selection.merged),
    ],
  };
}

/** Is every number of the result one of a model, as it is stored there, and what config.json says of all numbers true of each? */
function keepsNumbers(
  { method, recipe, settings, varies }: ResolvedRecipe,
  { models, adapters = [] }: MergeInputs,
): boolean {
  if (method.name !== 'passthrough' || recipe.out_dtype !== undefined) return false;
  if (varies || settings.models.some((model) => model['scale'] !== 1) || adapters.some((adapter) => adapter !== null))
    return false;
  const scaled = models.filter(({ checkpoint }) => hasScaledWeights(checkpoint, () => true));
  return scaled.length === 0 || scaled.length === models.length;
}

/** Are graphs held against the numbers that are stored? */
function isBound(recipe: Recipe, method: MergeMethod): boolean {
  return method.tuned !== undefined || recipe.tasks !== undefined;
}

/** Changes to the config of a donor whose weights are written without their scales. */
function withoutScales({ base, models }: MergeInputs): Record<string, undefined> {
  const donor = base ?? models[0];
  if (donor?.scalings === undefined) return {};
  return Object.fromEntries(quantisationPaths(donor.checkpoint.config).map((path) => [path, undefined]));
}

/** Do tokens change anything? Else they were only compared. */
function hasResult(tokens: MergeInputs['tokens']): tokens is TokenPlan {
  return tokens != null && (tokens.vocabulary !== null || tokens.chatTemplate !== null);
}

/** How often a tensor with these settings is read: to be merged, and each time that something must be known before. */
function countPasses(recipe: Recipe, method: MergeMethod, settings: Settings): number {
  const measures = method.blend !== undefined && method.blendScope?.(settings) !== 'row';
  const first = measures || seeksBands(method.sparsify?.(settings) ?? null) ? 1 : 0;
  const surveys = method.surveys?.(settings).length ?? 0;
  return 1 + first + surveys + (measuresLengths(recipe) ? 1 : 0);
}

/** What streaming over the merged tensors reads; `passes` by settings. */
function streamedBytes(merged: MergedTensor[], method: MergeMethod, passes: number[]): number {
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
