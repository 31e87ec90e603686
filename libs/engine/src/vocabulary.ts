import { type ArrangedTensor, describeArchitecture, type VocabularyTensor } from '@amalgam/architecture';
import { AmalgamError, isFloat, quote, quoteList, type Recipe } from '@amalgam/contracts';
import { type MergeMethod, resolveRecipe } from '@amalgam/methods';
import { isTokenizerFile, type RowPicks, type TokenPlan, type TokenRequest } from '@amalgam/tokenizers';
import { type MergeInputs, viewInputs } from './check-inputs.js';
import type { Source } from './source.js';
import type { InputView, ViewedTensor } from './views.js';

/** An input's tensor as the merge takes it. */
export type TakenTensor = Omit<ViewedTensor, 'source'> & { source: Source };

/** The part of an input that has a row for each token. */
interface Speaker {
  view: InputView;
  /** Those that hold its tensors. */
  files: readonly string[];
  /** By name: embeddings, heads and their biases, all of one height. */
  tensors: ReadonlyMap<string, VocabularyTensor>;
  embedding: string | null;
  tied: boolean;
  /** Of the embedding; null: there is none. */
  rows: number | null;
}

/** The base, when there is one, then the models, as `MergePlan.inputs` begins. */
function speakersOf(inputs: MergeInputs, views: { base: InputView | null; models: readonly InputView[] }): Speaker[] {
  const { base, models } = inputs;
  const full = models.map((model) => (model.checkpoint.kind === 'adapter' && base !== null ? base : model));
  const owners = base === null ? full : [base, ...full];
  const all = views.base === null ? views.models : [views.base, ...views.models];
  return all.map((view, i) => {
    const { vocabulary, tied } = describeArchitecture(owners[i]!.checkpoint);
    const embedding = vocabulary.find(({ role }) => role === 'embedding');
    const tensors = vocabulary.filter(({ rows }) => rows === embedding?.rows);
    return {
      view,
      files: owners[i]!.checkpoint.weightFiles,
      tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
      embedding: embedding?.name ?? null,
      tied,
      // An adapter may bring an embedding with more rows.
      rows: embedding === undefined ? null : (view.get(embedding.name)?.shape[0] ?? null),
    };
  });
}

/**
 * What `planTokens` is asked about a merge, from headers alone. An adapter among the models has a tokenizer of its own, or the base's.
 * Null when there is nothing to ask: the result is an adapter, or the recipe says nothing of tokens and no two inputs have any.
 *
 * @throws AmalgamError as `planMerge` for inputs that are not what the recipe takes them for
 */
export function tokenRequest(recipe: Recipe, inputs: MergeInputs): TokenRequest | null {
  const { method, settings } = resolveRecipe(recipe);
  if (method.adapter?.(settings) !== undefined) return null;
  const speakers = speakersOf(inputs, viewInputs(inputs));
  const { base, models } = inputs;
  const all = base === null ? models : [base, ...models];
  const { base: baseReference, models: references, tokenizer, chat_template } = recipe;
  const files = all.map(({ checkpoint }) => checkpoint.files.filter(({ path }) => isTokenizerFile(path)));
  const asks = tokenizer !== undefined || chat_template !== undefined;
  if (!asks && files.filter((own) => own.length > 0).length < 2) return null;
  if (tokenizer !== undefined) refuseOtherRows(inputs, speakers);
  return {
    recipe: {
      models: references,
      ...(baseReference !== undefined && { base: baseReference }),
      ...(tokenizer !== undefined && { tokenizer }),
      ...(chat_template !== undefined && { chat_template }),
    },
    inputs: all.map(({ reference, checkpoint }, i) => ({
      reference,
      files: [...files[i]!, ...checkpoint.files.filter(({ path }) => path === 'generation_config.json')],
      config: checkpoint.kind === 'adapter' ? (base?.checkpoint.config ?? null) : checkpoint.config,
      rows: speakers[i]?.rows ?? null,
    })),
  };
}

/** @throws AmalgamError `invalid_recipe` for an adapter beside a model that brings rows of tokens which the model's tokenizer lacks. */
function refuseOtherRows({ base, models, adapters = [] }: MergeInputs, speakers: readonly Speaker[]): void {
  for (const [i, adapter] of adapters.entries()) {
    const { embedding, rows } = speakers[(base === null ? 0 : 1) + i]!;
    const before = embedding === null ? undefined : models[i]!.checkpoint.tensors.get(embedding)?.shape[0];
    if (adapter === null || rows === null || before === undefined || rows === before) continue;
    const detail =
      `${quote(adapter.reference)} brings an embedding of ${rows} rows where ${quote(models[i]!.reference)} has ${before}: ` +
      'its tokens are known only where the adapter stands in a model’s place, with that model as the base';
    throw new AmalgamError('invalid_recipe', detail, { errors: [{ pointer: `/models/${i}/adapter`, detail }] });
  }
}

/**
 * What becomes of the inputs' vocabularies.
 *
 * @throws AmalgamError `invalid_recipe` for methods that learn from graphs, whose embeddings have the rows of their models
 */
export function planVocabulary(
  { tokenizer }: Recipe,
  { name, tuned }: MergeMethod,
  inputs: MergeInputs,
  views: { base: InputView | null; models: readonly InputView[] },
): Vocabulary {
  const { tokens = null } = inputs;
  if (tokenizer !== undefined && tokens === null)
    throw new TypeError('a recipe with a tokenizer needs its tokens planned');
  const vocabulary = new Vocabulary(inputs, views, tokens);
  if (tuned !== undefined && vocabulary.changes) {
    const detail = `${name} learns from graphs of the models as they are: their vocabularies must be the same`;
    throw new AmalgamError('invalid_recipe', detail, { errors: [{ pointer: '/tokenizer', detail }] });
  }
  return vocabulary;
}

/** The embeddings of a merge's inputs, re-indexed for the vocabulary of its result. */
export class Vocabulary {
  readonly #speakers: Speaker[];
  readonly #tokens: TokenPlan['vocabulary'];
  readonly #firstModel: number;
  /** By input: its picks, and the inputs that they name. One object for all tensors of an input, so that it is kept once. */
  readonly #taken = new Map<number, { used: number[]; pick: RowPicks }>();

  /** `tokens` null: rows stay as they are. */
  constructor(
    inputs: MergeInputs,
    views: { base: InputView | null; models: readonly InputView[] },
    tokens: TokenPlan | null,
  ) {
    this.#speakers = speakersOf(inputs, views);
    this.#tokens = tokens?.vocabulary ?? null;
    this.#firstModel = inputs.base === null ? 0 : 1;
  }

  /** Does the vocabulary of the result differ from that of an input? */
  get changes(): boolean {
    return this.#tokens?.picks.some((picks) => picks !== null) ?? false;
  }

  /** What may be done about tensors of a name that differ in height; '' where nothing is known. */
  advice(model: number, name: string): string {
    const isVocabulary = this.#speakers[this.#firstModel + model]?.tensors.has(name) === true;
    if (!isVocabulary || this.#tokens !== null) return '';
    return ': the vocabularies differ; "tokenizer": { "source": "base" } in the recipe, or "union", puts their rows in order';
  }

  /**
   * An input's tensor (model null: the base's) as the merge takes it at a place of the result: with the rows of the result's vocabulary
   * where it has a row for each token, else as it is.
   *
   * @throws AmalgamError `tensor_missing`, `shape_mismatch` when a model whose rows are wanted has no fitting tensor;
   * `dtype_unsupported` for rows of integers, of a quantised embedding say
   */
  reindex(place: ArrangedTensor, model: number | null, tensor: ViewedTensor): TakenTensor {
    const input = this.#inputOf(model);
    const { tensors, rows, view } = this.#speakers[input]!;
    const picks = this.#tokens?.picks[input] ?? null;
    if (picks === null || !tensors.has(tensor.name)) return tensor;
    const [height = 0, ...row] = tensor.shape;
    if (height !== rows) {
      throw this.#refuse(
        'shape_mismatch',
        `tensor ${quote(tensor.name)} of ${quote(view.reference)} has ${height} rows, but its embedding ${rows}`,
      );
    }
    const rowElements = row.reduce((product, size) => product * size, 1);
    const { used, pick } = this.#take(input, picks);
    const of = used.map((other) => this.#counterpart(place, other, tensor, rowElements, view.reference).source);
    const shape = [picks.rows, ...row];
    const source = { kind: 'rows' as const, rowElements, of, pick };
    return { ...tensor, shape, elements: picks.rows * rowElements, source };
  }

  #take(input: number, picks: RowPicks): { used: number[]; pick: RowPicks } {
    const known = this.#taken.get(input);
    if (known !== undefined) return known;
    const used = [...new Set(picks.inputs)].sort((a, b) => a - b);
    const taken = { used, pick: renumber(picks, used) };
    this.#taken.set(input, taken);
    return taken;
  }

  #inputOf(model: number | null): number {
    return model === null ? 0 : this.#firstModel + model;
  }

  /** What another input has at a place, also one that does not take part in it. `taker`: who has `tensor` and wants its rows. */
  #counterpart(
    place: ArrangedTensor,
    input: number,
    tensor: ViewedTensor,
    rowElements: number,
    taker: string,
  ): ViewedTensor {
    const { view, files, tensors, tied, embedding, rows } = this.#speakers[input]!;
    const placed = [...(place.base === null ? [] : [place.base]), ...place.models];
    const name =
      placed.find(({ model }) => this.#inputOf(model) === input)?.name ??
      [place.name, tensor.name].find((candidate) => tensors.has(candidate)) ??
      (tied ? embedding : null);
    const found = name === null ? undefined : view.get(name);
    if (found === undefined) {
      const detail =
        `${quote(view.reference)} (${quoteList(files)}) has no tensor ${quote(place.name)}: ${quote(tensor.name)} of ${quote(taker)} takes from there ` +
        'the rows of tokens that it lacks, so that every input with tokens of its own must have the tensor';
      throw this.#refuse('tensor_missing', detail);
    }
    if (!isFloat(found.dtype)) {
      const detail = `tensor ${quote(found.name)} of ${quote(view.reference)} is ${found.dtype}: its rows can be put in order in floating point only`;
      throw this.#refuse('dtype_unsupported', detail);
    }
    if (found.shape[0] !== rows || found.elements !== (rows ?? 0) * rowElements) {
      const shapes = `[${found.shape.join(', ')}] in ${quote(view.reference)} but [${tensor.shape.join(', ')}] where its rows are needed`;
      throw this.#refuse('shape_mismatch', `tensor ${quote(found.name)} has shape ${shapes}`);
    }
    return found;
  }

  #refuse(code: 'dtype_unsupported' | 'shape_mismatch' | 'tensor_missing', detail: string): AmalgamError {
    return new AmalgamError(code, detail, { errors: [{ pointer: '/tokenizer', detail }] });
  }
}

/** Picks that name inputs by their place in `used`. */
function renumber(picks: RowPicks, used: readonly number[]): RowPicks {
  return { ...picks, inputs: picks.inputs.map((input) => used.indexOf(input)) };
}
