import { AmalgamError, type FieldError, type Modifier, type Recipe } from '@amalgam/contracts';
import { type Found, isOverVectors, linesAlpha, linesFactor, type MergeMethod } from '@amalgam/methods';
import { allOrFirstFailure } from './gather.js';
import type { Band, Job, Task } from './job.js';
import type { RunTask } from './search.js';
import { toTasks } from './spans.js';
import { addColumns } from './surveys.js';
import type { MergePlan } from './types.js';

/** Elements and tensors that a task covers, as in gather.ts. */
const TASK_ELEMENTS = 2 ** 21;
const TASK_SPANS = 2 ** 12;

/**
 * @throws AmalgamError `invalid_recipe` for a modifier of a method that has no merged task vector, or of a model without layers. A tensor's
 * `t` is 0 outside of layers and in the first of several.
 */
export function checkModifiers(recipe: Recipe, method: MergeMethod, merged: readonly { t: number }[]): void {
  const modifier = recipe.modifiers?.[0];
  if (modifier === undefined) return;
  const { name } = modifier;
  const errors: FieldError[] = [];
  const refuse = (pointer: string, detail: string) => errors.push({ pointer, detail });
  if (recipe.base === undefined) refuse('/base', `${name} scales what a method adds to a base: the recipe needs one`);
  else if (!isOverVectors(method, true)) {
    refuse('/modifiers/0', `${name} scales merged task vectors, and ${method.name} works on weights`);
  }
  if (method.tuned !== undefined) {
    refuse('/modifiers/0', `${name} does not go with ${method.name}, which learns how much of each layer is merged`);
  }
  if (method.masks !== undefined) {
    refuse('/modifiers/0', `${name} does not go with ${method.name}, whose masks belong to the result as it is`);
  }
  if (merged.every(({ t }) => t === 0)) {
    refuse('/modifiers/0', `${name} scales by layer, and the tensors that are merged are in no layers`);
  }
  if (errors.length === 0) return;
  const detail = errors.map((error) => `${error.pointer}: ${error.detail}`).join('; ');
  throw new AmalgamError('invalid_recipe', detail, { errors });
}

/** Does finding the factors take a pass over the inputs? */
export function measuresLengths(recipe: Recipe): boolean {
  return recipe.modifiers?.[0]?.alpha === 'auto';
}

/** What the merging pass knows of each tensor, which the pass for alpha auto needs as well. */
export interface Known {
  bands: Band[][] | null;
  blends: number[][] | null;
  found: Found[][] | null;
}

/** What a modifier came to: the factor of the merged task vector by tensor, and its settings with `auto` resolved. */
export interface Factors {
  byTensor: number[];
  modifier: Modifier & { alpha: number };
}

/**
 * Resolves the recipe's modifier; null where it has none.
 *
 * @throws AmalgamError `invalid_checkpoint` when alpha is auto and the task vectors are not finite
 */
export async function findFactors(
  { recipe: { modifiers, models }, merged }: Pick<MergePlan, 'recipe' | 'merged'>,
  job: Job,
  known: Known,
  run: RunTask,
): Promise<Factors | null> {
  const modifier = modifiers?.[0];
  if (modifier === undefined) return null;
  const { beta } = modifier;
  let { alpha } = modifier;
  if (alpha === 'auto') {
    const [sum, own] = await measureLengths(job, known, run);
    alpha = linesAlpha(models.length, sum, own);
    if (!Number.isFinite(alpha)) {
      throw new AmalgamError(
        'invalid_checkpoint',
        `${modifier.name}: the task vectors hold NaN or infinity, so alpha auto has no value`,
      );
    }
  }
  return {
    byTensor: merged.map(({ t }) => linesFactor(alpha, beta, t)),
    modifier: { ...modifier, alpha },
  };
}

/** ‖Σ τᵢ‖₁ and ‖τ‖₁ over all merged tensors, in float64 over a fixed tree. */
async function measureLengths(job: Job, known: Known, run: RunTask): Promise<[number, number]> {
  const tensors = job.tensors.map(({ elements }, index) => ({ index, elements }));
  const chunks = job.tensors.map((): number[][] => []);
  const tasks = toTasks(tensors, job.chunkElements, TASK_ELEMENTS, TASK_SPANS).map(async (spans) => {
    const of = <T>(list: T[] | null) => (list === null ? null : spans.map(({ tensor }) => list[tensor]!));
    const task: Task = {
      kind: 'lengths',
      spans,
      bands: of(known.bands),
      blends: of(known.blends),
      found: of(known.found),
    };
    return { spans, parts: await run<number[][][]>(task) };
  });
  for (const { spans, parts } of await allOrFirstFailure(tasks)) {
    spans.forEach((span, i) => {
      chunks[span.tensor]!.push(...parts[i]!);
    });
  }
  const [sum = 0, own = 0] = addColumns(chunks.filter((list) => list.length > 0).map(addColumns));
  return [sum, own];
}
