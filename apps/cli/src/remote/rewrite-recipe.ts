import { type Recipe, referenceOf, type Slice, type TokenSource } from '@amalgam/contracts';

/** Ids by the references that a recipe from a file has. */
export interface SentInputs {
  checkpoints: ReadonlyMap<string, string>;
  graphs: ReadonlyMap<string, string>;
  datasets: ReadonlyMap<string, string>;
}

/** What a tokenizer's source may be besides a model. */
const KEYWORDS = new Set(['base', 'union']);

/** The recipe as the service takes it: ids in place of references, wherever they stand. */
export function rewriteRecipe(recipe: Recipe, { checkpoints, graphs, datasets }: SentInputs): Recipe {
  const models = new Map(checkpoints);
  for (const model of recipe.models) {
    if (model.adapter === undefined) continue;
    // Layers and tokens name a model with its adapter so.
    models.set(referenceOf(model), `${idIn(checkpoints, model.model)}+${idIn(checkpoints, model.adapter)}`);
  }
  const rename = (reference: string) => idIn(models, reference);
  const renameModel = <T extends { model: string }>(item: T): T => ({ ...item, model: rename(item.model) });
  const renameSlice = ({ sources, base, ...rest }: Slice): Slice => ({
    sources: sources.map(renameModel),
    ...(base !== undefined && { base: rename(base) }),
    ...rest,
  });
  const renameToken = (source: TokenSource): TokenSource => {
    if (typeof source === 'string') return rename(source);
    return source.kind === 'model_token' ? renameModel(source) : source;
  };

  const { base, slices, modules, tokenizer, tasks, ...rest } = recipe;
  return {
    ...rest,
    ...(base !== undefined && { base: idIn(checkpoints, base) }),
    models: recipe.models.map(({ model, adapter, ...more }) => ({
      model: idIn(checkpoints, model),
      ...(adapter !== undefined && { adapter: idIn(checkpoints, adapter) }),
      ...more,
    })),
    ...(slices !== undefined && { slices: slices.map(renameSlice) }),
    ...(modules !== undefined && {
      modules: mapValues(modules, ({ slices: own, models: some, ...more }) => ({
        ...(own !== undefined && { slices: own.map(renameSlice) }),
        ...(some !== undefined && { models: some.map(renameModel) }),
        ...more,
      })),
    }),
    ...(tokenizer !== undefined && {
      tokenizer: {
        ...tokenizer,
        source: KEYWORDS.has(tokenizer.source) ? tokenizer.source : rename(tokenizer.source),
        ...(tokenizer.tokens !== undefined && {
          tokens: mapValues(tokenizer.tokens, (token) => ({ ...token, source: renameToken(token.source) })),
        }),
      },
    }),
    ...(tasks !== undefined && {
      tasks: tasks.map(({ model, graph, data, evaluation, ...more }) => ({
        model: rename(model),
        graph: idIn(graphs, graph),
        ...(data !== undefined && { data: idIn(datasets, data) }),
        ...(evaluation !== undefined && { evaluation: idIn(datasets, evaluation) }),
        ...more,
      })),
    }),
  };
}

/** What is no reference of this machine, an id say, stays. */
function idIn(ids: ReadonlyMap<string, string>, reference: string): string {
  return ids.get(reference) ?? reference;
}

function mapValues<T, U>(record: Record<string, T>, change: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}

/** Every asset that a recipe names, once. */
export function listReferences({ base, models, tasks = [], tokenizer }: Recipe): Record<keyof SentInputs, string[]> {
  const tokens = Object.values(tokenizer?.tokens ?? {}).flatMap(({ source }) => {
    if (typeof source === 'string') return source;
    return source.kind === 'model_token' ? source.model : [];
  });
  const named = new Set(models.map(referenceOf));
  const weights = [base ?? [], models.map(({ model, adapter }) => [model, adapter ?? []].flat())].flat(2);
  // A model with its adapter is no asset of its own.
  const others = [...tokens, ...tasks.map(({ model }) => model)].filter((name) => !named.has(name));
  return {
    checkpoints: unique([...weights, ...others]),
    graphs: unique(tasks.map(({ graph }) => graph)),
    datasets: unique(tasks.flatMap(({ data, evaluation }) => [data ?? [], evaluation ?? []].flat())),
  };
}

function unique(items: string[]): string[] {
  return [...new Set(items)];
}
