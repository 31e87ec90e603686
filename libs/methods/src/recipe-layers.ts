import {
  escapePointer,
  type FieldError,
  findModel,
  quote,
  type Recipe,
  referenceOf,
  type Slice,
  suggest,
} from '@amalgam/contracts';
import type { MergeMethod } from './definition.js';

/** What no single field of a recipe's slices and modules shows. Whether the layers exist, the checkpoints' headers say. */
export function checkLayers(recipe: Recipe, method: MergeMethod): FieldError[] {
  const { slices, modules } = recipe;
  if (slices !== undefined && modules !== undefined) {
    return [
      { pointer: '/modules', detail: 'a recipe has slices or modules, not both; a module has slices of its own' },
    ];
  }
  if ((slices ?? modules) !== undefined && method.tuned !== undefined) {
    const pointer = slices === undefined ? '/modules' : '/slices';
    return [
      { pointer, detail: `${method.name} learns its coefficients for whole models: it takes no slices or modules` },
    ];
  }
  if (slices !== undefined) return checkSlices(recipe, method, slices, '/slices');
  if (modules === undefined) return checkCount(method, recipe.models.length, '/models');
  return Object.entries(modules).flatMap(([name, module]) => {
    const at = `/modules/${escapePointer(name)}`;
    if (module.slices !== undefined && module.models !== undefined) {
      return [{ pointer: `${at}/models`, detail: 'a module has slices or models, not both' }];
    }
    if (module.slices !== undefined) return checkSlices(recipe, method, module.slices, `${at}/slices`);
    if (module.models === undefined) return checkCount(method, recipe.models.length, at);
    const references = module.models.map(({ model }) => model);
    const own = references.filter((reference) => findModel(recipe, reference) !== 'base');
    return [
      ...references.flatMap((reference, i) => [
        ...checkReference(recipe, reference, `${at}/models/${i}/model`),
        ...(references.indexOf(reference) < i
          ? [{ pointer: `${at}/models/${i}/model`, detail: `${quote(reference)} stands here twice` }]
          : []),
      ]),
      ...checkCount(method, own.length, `${at}/models`),
    ];
  });
}

function checkSlices(recipe: Recipe, method: MergeMethod, slices: readonly Slice[], at: string): FieldError[] {
  return slices.flatMap(({ sources, base }, i) => {
    // What task vectors start from is none of the models.
    const own = sources.filter(({ model }) => model !== base && findModel(recipe, model) !== 'base');
    return [
      ...sources.flatMap(({ model, layer_range }, j) => [
        ...checkReference(recipe, model, `${at}/${i}/sources/${j}/model`),
        ...checkRange(layer_range, `${at}/${i}/sources/${j}/layer_range`),
      ]),
      ...checkLengths(sources, `${at}/${i}/sources`),
      ...(base === undefined ? [] : checkReference(recipe, base, `${at}/${i}/base`)),
      ...checkCount(method, own.length, `${at}/${i}/sources`),
    ];
  });
}

function checkRange(range: readonly number[] | undefined, pointer: string): FieldError[] {
  if (range === undefined || range[0]! < range[1]!) return [];
  return [{ pointer, detail: `[${range.join(', ')}] has no layer: the second number is the layer after the last one` }];
}

/** Of sources that say their range; the length of others their checkpoint says. */
function checkLengths(sources: Slice['sources'], at: string): FieldError[] {
  const lengths = sources.map(({ layer_range }) => layer_range && layer_range[1]! - layer_range[0]!);
  const first = lengths.findIndex((length) => length !== undefined);
  return lengths.flatMap((length, j) => {
    if (length === undefined || length === lengths[first]) return [];
    const detail = `has ${length} layers, but sources/${first} has ${lengths[first]}: all sources of a slice have equally many`;
    return [{ pointer: `${at}/${j}/layer_range`, detail }];
  });
}

function checkReference(recipe: Recipe, reference: string, pointer: string): FieldError[] {
  if (findModel(recipe, reference) !== null) return [];
  const known = [...recipe.models.map(referenceOf), ...(recipe.base === undefined ? [] : [recipe.base])];
  const detail = `${quote(reference)} is neither one of the recipe’s models nor its base${suggest(reference, known)}`;
  return [{ pointer, detail }];
}

/** How many models a method takes. */
function checkCount(method: MergeMethod, count: number, pointer: string): FieldError[] {
  const { minimum, maximum } = method.models;
  if (count >= minimum && (maximum === null || count <= maximum)) return [];
  const wanted =
    maximum === minimum ? `${minimum}` : maximum === null ? `at least ${minimum}` : `${minimum} to ${maximum}`;
  return [{ pointer, detail: `${method.name} takes ${wanted} model${wanted === '1' ? '' : 's'}, not ${count}` }];
}
