import { describeArchitecture } from '@amalgam/architecture';
import { AmalgamError, type FieldError, joinDetails, type Modifier, type Recipe } from '@amalgam/contracts';
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
 * @throws AmalgamError `invalid_recipe` for a modifier of a method that has no merged task vector, or of a model without layers. `depths`:
 * of the result's tensors.
 */
export function checkModifiers(recipe: Recipe, method: MergeMethod, depths: () => readonly (number | null)[]): void {
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
  if (depths().every((depth) => depth === null)) {
    refuse('/modifiers/0', `${name} scales by layer, and the tensors that are merged are in no layers`);
  }
  if (errors.length === 0) return;
  const detail = joinDetails(errors.map((error) => `${error.pointer}: ${error.detail}`));
  throw new AmalgamError('invalid_recipe', detail, { errors });
}

/**
 * How deep in the result each of the named tensors, which are all that it has, lies: 0 in the first layer of its stack, 1 in the last; null outside of layers. Unlike
 * the position of a gradient it goes through all slices. `donor`: whose names the result's tensors have.
 */
export function depthsOf(
  recipe: Recipe,
  names: readonly string[],
  donor: Parameters<typeof describeArchitecture>[0],
): (number | null)[] {
  const isArranged = recipe.slices !== undefined || recipe.modules !== undefined;
  const blocks = names.map(toBlock);
  const counts = new Map(
    describeArchitecture(donor).stacks.map(({ prefix, count }) => [prefix, isArranged ? 1 : count]),
  );
  if (isArranged) {
    for (const { prefix, index } of blocks) {
      const count = counts.get(prefix);
      if (count !== undefined) counts.set(prefix, Math.max(count, index + 1));
    }
  }
  return blocks.map(({ prefix, index }) => {
    const count = counts.get(prefix) ?? 0;
    if (index === -1 || index >= count) return null;
    return count === 1 ? 1 : index / (count - 1);
  });
}

/** What comes before the first number in a tensor's name, and that number; -1 where there is none. */
function toBlock(name: string): { prefix: string; index: number } {
  const segments = name.split('.');
  const at = segments.findIndex((segment) => /^\d+$/.test(segment));
  return at === -1
    ? { prefix: '', index: -1 }
    : { prefix: segments.slice(0, at).join('.'), index: Number(segments[at]) };
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
export async function findFactors(plan: MergePlan, job: Job, known: Known, run: RunTask): Promise<Factors | null> {
  const { recipe, merged, copied, inputs, donor } = plan;
  const modifier = recipe.modifiers?.[0];
  if (modifier === undefined) return null;
  const { beta } = modifier;
  let { alpha } = modifier;
  if (alpha === 'auto') {
    const [sum, own] = await measureLengths(job, known, run);
    alpha = linesAlpha(recipe.models.length, sum, own);
    if (!Number.isFinite(alpha)) {
      throw new AmalgamError(
        'invalid_checkpoint',
        `${modifier.name}: the task vectors hold NaN or infinity, so alpha auto has no value`,
      );
    }
  }
  const factor = alpha;
  const names = [...merged, ...copied].map(({ name }) => name);
  const depths = depthsOf(recipe, names, inputs[donor]!.checkpoint).slice(0, merged.length);
  return {
    byTensor: depths.map((depth) => linesFactor(factor, beta, depth ?? 0)),
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
