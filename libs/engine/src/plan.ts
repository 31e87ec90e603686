import {
  AmalgamError,
  dtypeBytes,
  type FieldError,
  isFloat,
  OUT_DTYPES,
  type Plan,
  type Recipe,
} from '@amalgam/contracts';
import { isByRow, isOverVectors, type ResolvedRecipe, resolveRecipe } from '@amalgam/methods';
import { type CheckpointTensor, compileGlobs } from '@amalgam/tensors';
import { layOut, type Placeable, placeHeads } from './layout.js';
import { planMemory } from './memory.js';
import type { CopiedTensor, MergedTensor, MergePlan, ModelInput, PlanOptions, Source, TuningPlan } from './types.js';
import { layOutVectors } from './vector-layout.js';

/** Most problems of one kind that an answer lists; a wrong model can have thousands. */
const MOST_PROBLEMS = 100;

type Problem = FieldError & { code: 'tensor_missing' | 'shape_mismatch' | 'dtype_unsupported' };

/**
 * Checks a merge completely from headers and lays out its result: no weight is read.
 *
 * A tensor is merged when the base (without a base: the first model) and every model have it, it is floating point, and the
 * recipe's globs select it. What the recipe or its dtype keeps out is copied from the base, and each model's own version of
 * what was kept out goes to heads/<model>.safetensors, together with what the base lacks.
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
  const all = inputs.base === null ? inputs.models : [inputs.base, ...inputs.models];
  refuseDuplicates(inputs);
  refuseAdapters(all);

  const warnings: string[] = [];
  const firstModel = inputs.base === null ? 0 : 1;
  const reference = all[0]!;
  const selects = compileGlobs(recipe.merge?.include, recipe.merge?.exclude);
  const outDtype = recipe.out_dtype === undefined ? undefined : OUT_DTYPES[recipe.out_dtype];
  const models = all.slice(firstModel);

  const problems: Problem[] = [];
  const merged: (Placeable & Pick<MergedTensor, 'base' | 'models'>)[] = [];
  const copied: (Placeable & Pick<CopiedTensor, 'from'>)[] = [];
  const keptOut = new Set<string>();
  for (const tensor of reference.checkpoint.tensors.values()) {
    const selected = selects(tensor.name);
    const found = selected ? checkTensor(tensor, reference, models, problems) : undefined;
    if (found !== undefined && isFloat(tensor.dtype)) {
      const sources = found.map((model, i) => toSource(model, firstModel + i));
      merged.push({
        ...place(tensor, outDtype ?? tensor.dtype),
        base: inputs.base === null ? null : toSource(tensor, 0),
        models: sources,
      });
    } else {
      // An integer tensor that all share is the base's by nature; one that the globs keep out stays with each model too.
      if (!selected) keptOut.add(tensor.name);
      copied.push({ ...place(tensor, tensor.dtype), from: toSource(tensor, 0) });
    }
  }
  if (problems.length > 0) throw toError(problems);
  if (merged.length === 0) {
    throw new AmalgamError('invalid_recipe', 'no tensor is left to merge', {
      errors: [{ pointer: '/merge', detail: 'the globs leave no floating-point tensor to merge' }],
    });
  }

  const kept = models.map((model, i) => {
    const own = [...model.checkpoint.tensors.values()].filter(
      (tensor) => keptOut.has(tensor.name) || !reference.checkpoint.tensors.has(tensor.name),
    );
    return { name: model.name, tensors: own.map((t) => ({ ...place(t, t.dtype), from: toSource(t, firstModel + i) })) };
  });
  const heads = placeHeads(kept);
  describeWarnings(warnings, copied, keptOut, heads);

  const layout = layOut(merged, copied, heads, resolved.recipe.shard_bytes);
  const memory = planMemory(layout.merged, resolved, options);
  const read = streamedBytes(layout.merged, resolved, inputs.base !== null);

  return {
    recipe: resolved.recipe,
    settings: resolved.settings,
    inputs: all,
    hasBase: inputs.base !== null,
    ...layout,
    donor: 0,
    ...memory,
    bytesRead: read + [...layout.copied, ...layout.heads].reduce((sum, t) => sum + t.bytes, 0),
    bytesWritten: layout.files.reduce((sum, file) => sum + file.bytes, 0),
    tuning: planTuning(layout.merged, resolved, read),
    warnings,
  };
}

/** What one streaming over the merged tensors reads: each once, and once more to find thresholds or inner products. */
function streamedBytes(merged: MergedTensor[], { method, settings }: ResolvedRecipe, hasBase: boolean): number {
  const sparsify = method.sparsify?.(settings) ?? null;
  const seeksBands = sparsify?.by === 'magnitude' && !isByRow(sparsify);
  const passes = seeksBands || method.blend !== undefined ? 2 : 1;
  const width = (source: Source | null) => (source === null ? 0 : dtypeBytes(source.dtype));
  const needsBase = isOverVectors(method, hasBase);
  return merged.reduce((sum, { base, models, elements }) => {
    const inputs = models.reduce((all, model) => all + width(model), needsBase ? width(base) : 0);
    return sum + passes * elements * inputs;
  }, 0);
}

function planTuning(merged: MergedTensor[], resolved: ResolvedRecipe, bytesRead: number): TuningPlan | null {
  const settings = resolved.method.tuned?.(resolved.settings);
  if (settings === undefined) return null;
  const dtype = OUT_DTYPES[settings.taskVectorDtype];
  return {
    settings,
    rows: settings.granularity === 'task' ? 1 : merged.length,
    vectorBytes: layOutVectors(merged, resolved.settings.models.length, dtype).bytes,
    bytesRead,
  };
}

/** The plan as the API and the CLI show it. Seconds assume about a gigabyte a second of reading and writing on each thread. */
export function describePlan(plan: MergePlan): Plan {
  const BYTES_PER_SECOND = 1e9;
  const { tuning } = plan;
  const bytesRead = plan.bytesRead + (tuning?.bytesRead ?? 0);
  const written = plan.bytesWritten + (tuning?.vectorBytes ?? 0);
  return {
    object: 'plan',
    method: plan.recipe.method,
    recipe: plan.recipe,
    tensors: { merged: plan.merged.length, copied: plan.copied.length, heads: plan.heads.length },
    parameters: plan.merged.reduce((sum, tensor) => sum + tensor.elements, 0),
    bytes_read: bytesRead,
    bytes_written: plan.bytesWritten,
    memory_bytes: plan.memoryBytes,
    seconds: round(0.2 + (bytesRead + 2 * written) / (BYTES_PER_SECOND * plan.threads)),
    ...(tuning === null ? {} : { tuning: describeTuning(plan, tuning) }),
    files: plan.files.map(({ path, bytes, tensors }) => ({ path, bytes, tensors })),
    warnings: plan.warnings,
  };
}

function describeTuning(plan: MergePlan, { settings, rows, vectorBytes }: TuningPlan): Plan['tuning'] {
  return {
    steps: settings.steps,
    coefficients: rows * plan.settings.models.length,
    task_vector_bytes: vectorBytes,
  };
}

function round(seconds: number): number {
  return Math.round(seconds * 10) / 10;
}

function refuseDuplicates({ base, models }: { base: ModelInput | null; models: ModelInput[] }): void {
  const errors: FieldError[] = [];
  models.forEach((model, i) => {
    const pointer = `/models/${i}/model`;
    if (base !== null && model.identity === base.identity) {
      errors.push({ pointer, detail: `"${model.reference}" is the base: its task vector would be zero` });
    }
    const first = models.findIndex((other) => other.identity === model.identity);
    if (first < i) errors.push({ pointer, detail: `"${model.reference}" is the same checkpoint as models/${first}` });
  });
  if (errors.length > 0) {
    throw new AmalgamError('duplicate_model', errors.map((error) => error.detail).join('; '), { errors });
  }
}

function refuseAdapters(inputs: ModelInput[]): void {
  for (const input of inputs) {
    if (input.checkpoint.kind === 'adapter') {
      throw new AmalgamError(
        'invalid_checkpoint',
        `"${input.reference}" is a LoRA adapter (adapter_model.safetensors), which cannot be merged as a full model; ` +
          'merge it into its base first',
      );
    }
  }
}

/** The models' versions of a tensor of the reference, or undefined when a rule is broken (it is then in `problems`). */
function checkTensor(
  tensor: CheckpointTensor,
  reference: ModelInput,
  models: ModelInput[],
  problems: Problem[],
): CheckpointTensor[] | undefined {
  const found: CheckpointTensor[] = [];
  models.forEach((model, i) => {
    const other = model.checkpoint.tensors.get(tensor.name);
    const pointer = `/models/${i}/model`;
    const where = `tensor "${tensor.name}"`;
    if (other === undefined) {
      // Buffers of integers (position ids, say) come and go between versions of a library; they are copied from the base anyway.
      if (!isFloat(tensor.dtype)) return;
      const detail = `${where} of "${reference.reference}" is missing in "${model.reference}"`;
      problems.push({ code: 'tensor_missing', pointer, detail });
    } else if (!sameShape(tensor.shape, other.shape)) {
      const shapes = `${showShape(tensor.shape)} in "${reference.reference}" but ${showShape(other.shape)} in "${model.reference}"`;
      problems.push({ code: 'shape_mismatch', pointer, detail: `${where} has shape ${shapes}` });
    } else if (
      isFloat(tensor.dtype) !== isFloat(other.dtype) ||
      (!isFloat(tensor.dtype) && tensor.dtype !== other.dtype)
    ) {
      const dtypes = `${tensor.dtype} in "${reference.reference}" but ${other.dtype} in "${model.reference}"`;
      problems.push({ code: 'dtype_unsupported', pointer, detail: `${where} is ${dtypes}` });
    } else {
      found.push(other);
    }
  });
  return found.length === models.length ? found : undefined;
}

function toError(problems: Problem[]): AmalgamError {
  const shown = problems.slice(0, MOST_PROBLEMS).map(({ pointer, detail }) => ({ pointer, detail }));
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new AmalgamError(problems[0]!.code, `${problems[0]!.detail}${more}`, { errors: shown });
}

function describeWarnings(
  warnings: string[],
  copied: { name: string; dtype: string }[],
  keptOut: Set<string>,
  heads: { name: string; path: string; tensors: { name: string }[] }[],
): void {
  const integers = copied.filter((tensor) => !keptOut.has(tensor.name));
  if (integers.length > 0) {
    warnings.push(`${countTensors(integers)} not floating point: copied from the base`);
  }
  if (keptOut.size > 0)
    warnings.push(`${countTensors([...keptOut].map((name) => ({ name })))} kept out by the recipe's globs`);
  for (const head of heads) {
    warnings.push(`${countTensors(head.tensors)} of "${head.name}" not merged: kept in ${head.path}`);
  }
}

function countTensors(tensors: { name: string }[]): string {
  const names = tensors.slice(0, 3).map((tensor) => tensor.name);
  const rest = tensors.length > 3 ? ', …' : '';
  return `${tensors.length} tensor${tensors.length === 1 ? '' : 's'} (${names.join(', ')}${rest})`;
}

function place(tensor: CheckpointTensor, dtype: CheckpointTensor['dtype']): Placeable {
  const { name, shape, elements } = tensor;
  return { name, dtype, shape, elements, bytes: elements * dtypeBytes(dtype) };
}

function toSource(tensor: CheckpointTensor, input: number): Source {
  return { input, file: tensor.file, begin: tensor.begin, dtype: tensor.dtype };
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

function showShape(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}
