import { quote, quoteList, type Recipe } from '@amalgam/contracts';
import type { ArrangedTensor } from './arrangement.js';
import { type Input, type Inputs, lookUp, ownHeads } from './inputs.js';
import { isObject } from './layer-counts.js';

/** What follows from inputs of which some share the head with the embedding and others do not. */
interface Untied {
  /** Heads that the donor has not and a model has. */
  tensors: ArrangedTensor[];
  config: Record<string, unknown>;
  redundant: { model: number; name: string }[];
  warnings: string[];
}

/**
 * A donor whose embedding serves as the head gets a head when one of the models has its own, with the donor's embedding in its place;
 * `isSliced`: the slices have seen to the tensors. Copies of tied weights that models store besides are redundant.
 */
export function untie(
  recipe: Recipe,
  { base, models, donor }: Inputs,
  made: readonly ArrangedTensor[],
  isSliced: boolean,
): Untied {
  const names = new Set(made.map(({ name }) => name));
  const result: Untied = { tensors: [], config: {}, redundant: [], warnings: [] };
  // Without a config nothing says that an embedding is a head: some other model may just have more on top.
  if (donor.config === null || !donor.tied || !hasEmbedding(donor)) return result;

  const untied = models.filter((input) => input.config !== null && ownHeads(input).length > 0);
  const heads = new Set(untied.flatMap((input) => ownHeads(input).map(({ name }) => name)));
  const stays = [...heads].filter((name) => names.has(name));
  const comes = isSliced ? [] : [...heads].filter((name) => !names.has(name));
  for (const name of comes) {
    const owner = untied.find((input) => input.tensors.has(name));
    if (owner === undefined) continue;
    const nameIn = (input: Input) => (input === owner ? name : lookUp(input, name, owner)) ?? name;
    result.tensors.push({
      name,
      base: base === null ? null : { model: null, name: nameIn(base) },
      models: recipe.models.flatMap((_, model) => {
        const input = models[model];
        return input === undefined ? [] : [{ model, name: nameIn(input) }];
      }),
      slice: null,
      module: null,
      sources: [],
      t: 0,
    });
  }
  if (stays.length + result.tensors.length > 0) {
    Object.assign(result.config, untiedConfig(donor));
    const owners = quoteList(untied.map(({ reference }) => reference));
    result.warnings.push(
      `${owners} has a head of its own while ${quote(donor.reference)} has its embedding for one: the result gets a head`,
    );
  }
  const kept = new Set([...names, ...result.tensors.map(({ name }) => name)]);
  for (const { architecture, model, tied } of models) {
    if (!tied || model === null) continue;
    for (const { name, role } of architecture.vocabulary) {
      if (role === 'head' && !kept.has(name)) result.redundant.push({ model, name });
    }
  }
  return result;
}

function hasEmbedding({ architecture }: Input): boolean {
  return architecture.vocabulary.some(({ role }) => role === 'embedding');
}

/** Wherever the donor's config says that they are tied; where it leaves that to the default, at the top. */
function untiedConfig({ config }: Input): Record<string, unknown> {
  const changes: Record<string, unknown> = { tie_word_embeddings: false };
  for (const [key, value] of Object.entries(config ?? {})) {
    if (isObject(value) && value['tie_word_embeddings'] === true) changes[`${key}.tie_word_embeddings`] = false;
  }
  return changes;
}
