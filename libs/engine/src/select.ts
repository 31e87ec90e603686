import type { ArrangedTensor } from '@amalgam/architecture';
import {
  AmalgamError,
  type Dtype,
  dtypeBytes,
  type FieldProblem,
  isFloat,
  problemsError,
  showShape,
} from '@amalgam/contracts';
import { type Placeable, placeHeads } from './layout.js';
import type { CopiedTensor, MergedTensor, PlannedTensor } from './types.js';
import type { InputView } from './views.js';
import type { TakenTensor, Vocabulary } from './vocabulary.js';

type Unplaced<T extends PlannedTensor> = Omit<T, 'file' | 'begin'>;

/** A tensor to merge, with the place in the arrangement that its parameters follow from. */
export interface SelectedTensor extends Unplaced<Omit<MergedTensor, 'settings'>> {
  place: ArrangedTensor;
}

export interface Selection {
  merged: SelectedTensor[];
  copied: Unplaced<CopiedTensor>[];
  heads: { path: string; name: string; tensors: Unplaced<CopiedTensor>[] }[];
  warnings: string[];
}

export interface SelectOptions {
  /** Does the recipe want a tensor of this name merged? */
  selects(name: string): boolean;
  /** The recipe's globs for it, among which names may stand in full. */
  include: readonly string[];
  /** Of all merged tensors; undefined: the reference's, tensor by tensor. */
  outDtype: Dtype | undefined;
  /** Do models keep, in files of their own, what the reference lacks? */
  keepsHeads: boolean;
  /** Tensors of models that the result does without. */
  redundant: readonly { model: number; name: string }[];
  vocabulary: Vocabulary;
}

/**
 * Decides by rule what becomes of each tensor. It is merged when the base (without a base: the first model) and every model
 * have it, it is floating point, and it is selected. Others are copied from the base; each model's own version of what was
 * not selected is kept as a head, together with what the base lacks.
 *
 * @throws AmalgamError `tensor_missing`, `shape_mismatch`, `dtype_unsupported`, with every problem found; `invalid_recipe` when
 * nothing is left to merge
 */
export function selectTensors(
  arranged: readonly ArrangedTensor[],
  base: InputView | null,
  models: readonly InputView[],
  { selects, include, outDtype, keepsHeads, redundant, vocabulary }: SelectOptions,
): Selection {
  const problems: FieldProblem[] = [];
  const merged: SelectedTensor[] = [];
  const copied: Unplaced<CopiedTensor>[] = [];
  const keptOut = new Set<string>();
  for (const place of arranged) {
    const reference = referenceOf(place, base, models, vocabulary, problems);
    if (reference === undefined) continue;
    const { tensor, view } = reference;
    const selected = selects(place.name);
    const found = selected ? checkTensor(tensor, view, place, models, vocabulary, problems) : undefined;
    if (found !== undefined && isFloat(tensor.dtype)) {
      merged.push({
        ...toPlaceable(place.name, tensor, outDtype ?? tensor.dtype),
        base: place.base === null ? null : tensor.source,
        models: found.map(({ source }) => source),
        columns: place.models.map(({ model }) => model),
        t: place.t,
        place,
      });
    } else {
      const named = isFloat(tensor.dtype) ? -1 : include.indexOf(place.name);
      if (selected && named >= 0) problems.push(notMerged(place.name, tensor.dtype, named));
      // An integer tensor that all share is the base's by nature; one that the globs keep out stays with each model too.
      if (!selected) keptOut.add(place.name);
      copied.push({ ...toPlaceable(place.name, tensor, tensor.dtype), from: tensor.source });
    }
  }
  if (problems.length > 0) throw problemsError(problems);
  if (merged.length === 0) {
    throw new AmalgamError('invalid_recipe', 'no tensor is left to merge', {
      errors: [{ pointer: '/merge', detail: 'the globs leave no floating-point tensor to merge' }],
    });
  }
  const kept = keepsHeads ? keptByModels(base ?? models[0]!, models, keptOut, redundant) : [];
  const heads = placeHeads(kept);
  return { merged, copied, heads, warnings: describe(copied, keptOut, heads) };
}

/** Globs may take integers along, which are copied then; who names one wants it merged. */
function notMerged(name: string, dtype: Dtype, glob: number): FieldProblem {
  const detail = `tensor "${name}" is ${dtype}: only floating point is merged`;
  return { code: 'dtype_unsupported', pointer: `/merge/include/${glob}`, detail };
}

/** Whose shape and dtype a tensor of the result has: the base's, or the first model's that is merged into it. */
function referenceOf(
  place: ArrangedTensor,
  base: InputView | null,
  models: readonly InputView[],
  vocabulary: Vocabulary,
  problems: FieldProblem[],
): { tensor: TakenTensor; view: InputView } | undefined {
  const { model, name } = place.base ?? place.models[0]!;
  const view = model === null ? base! : models[model]!;
  const pointer = model === null ? '/base' : `/models/${model}/model`;
  const tensor = view.get(name);
  if (tensor !== undefined) return { tensor: vocabulary.reindex(place, model, tensor), view };
  problems.push({ code: 'tensor_missing', pointer, detail: `"${view.reference}" has no tensor "${name}"` });
  return undefined;
}

/** The models' versions of a tensor of the reference, or undefined when a rule is broken (it is then in `problems`). */
function checkTensor(
  tensor: TakenTensor,
  reference: InputView,
  place: ArrangedTensor,
  models: readonly InputView[],
  vocabulary: Vocabulary,
  problems: FieldProblem[],
): TakenTensor[] | undefined {
  const found: TakenTensor[] = [];
  for (const { model: i, name } of place.models) {
    const model = models[i]!;
    const stored = model.get(name);
    const other = stored && vocabulary.reindex(place, i, stored);
    const pointer = `/models/${i}/model`;
    const where = `tensor "${name}"`;
    if (other === undefined) {
      // Buffers of integers (position ids, say) come and go between versions of a library; they are copied from the base anyway.
      if (!isFloat(tensor.dtype)) continue;
      const detail = `${where} of "${reference.reference}" is missing in "${model.reference}"`;
      problems.push({ code: 'tensor_missing', pointer, detail });
    } else if (!sameShape(tensor.shape, other.shape)) {
      const shapes = `${showShape(tensor.shape)} in "${reference.reference}" but ${showShape(other.shape)} in "${model.reference}"`;
      problems.push({
        code: 'shape_mismatch',
        pointer,
        detail: `${where} has shape ${shapes}${vocabulary.advice(i, name)}`,
      });
    } else if (
      isFloat(tensor.dtype) !== isFloat(other.dtype) ||
      (!isFloat(tensor.dtype) && tensor.dtype !== other.dtype)
    ) {
      const dtypes = `${tensor.dtype} in "${reference.reference}" but ${other.dtype} in "${model.reference}"`;
      problems.push({ code: 'dtype_unsupported', pointer, detail: `${where} is ${dtypes}` });
    } else {
      found.push(other);
    }
  }
  return found.length === place.models.length ? found : undefined;
}

/** What each model keeps for itself: its version of what was kept out, and what the reference has not. */
function keptByModels(
  reference: InputView,
  models: readonly InputView[],
  keptOut: ReadonlySet<string>,
  redundant: SelectOptions['redundant'],
) {
  const known = new Set(reference.names());
  const dropped = new Set(redundant.map(({ model, name }) => `${model} ${name}`));
  return models.map((model, i) => ({
    name: model.name,
    tensors: model
      .names()
      .filter((name) => (keptOut.has(name) || !known.has(name)) && !dropped.has(`${i} ${name}`))
      .map((name) => {
        const tensor = model.get(name)!;
        return { ...toPlaceable(name, tensor, tensor.dtype), from: tensor.source };
      }),
  }));
}

function describe(
  copied: readonly { name: string }[],
  keptOut: ReadonlySet<string>,
  heads: readonly { name: string; path: string; tensors: { name: string }[] }[],
): string[] {
  const warnings: string[] = [];
  const integers = copied.map(({ name }) => name).filter((name) => !keptOut.has(name));
  if (integers.length > 0) warnings.push(`${countTensors(integers)} not floating point: copied from the base`);
  if (keptOut.size > 0) warnings.push(`${countTensors([...keptOut])} kept out by the recipe's globs`);
  for (const head of heads) {
    const names = head.tensors.map(({ name }) => name);
    warnings.push(`${countTensors(names)} of "${head.name}" not merged: kept in ${head.path}`);
  }
  return warnings;
}

function countTensors(names: string[]): string {
  const rest = names.length > 3 ? ', …' : '';
  return `${names.length} tensor${names.length === 1 ? '' : 's'} (${names.slice(0, 3).join(', ')}${rest})`;
}

function toPlaceable(name: string, { shape, elements }: TakenTensor, dtype: Dtype): Placeable {
  return { name, dtype, shape, elements, bytes: elements * dtypeBytes(dtype) };
}

function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}
