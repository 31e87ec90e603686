import { AmalgamError, type Dtype, type FieldError, quote, quoteList, showShape } from '@amalgam/contracts';
import { type AdapterConfig, readAdapterConfig } from './adapter-config.js';
import { collectFactors, type FactorPair } from './factors.js';
import { adapterConfigOf, layOutAdapter } from './output.js';
import type {
  AdapterInput,
  AdapterPlan,
  AdapterPlanOptions,
  ModuleWork,
  PlannedModule,
  RangeOptions,
  Term,
} from './plan.js';
import { type Problem, problemError } from './problems.js';
import { planMemory } from './work/memory.js';

export interface AdapterMergeSettings {
  /** By adapter. */
  coefficients: readonly number[];
  /**
   * What is added up: the products coefficient · scale · B A, or the factors themselves. The latter keeps the rank, but B₁ A₂ and
   * B₂ A₁ come in as well: it is no sum of what the adapters do.
   */
  combine: 'products' | 'factors';
  /** Products: cut each sum to this rank, as near as a matrix of that rank comes. Null: the ranks add up, and nothing is lost. */
  rank: number | null;
  /** Of the factors written. */
  dtype: Dtype;
}

/**
 * Plans an adapter that does what a weighted sum of adapters does, from their headers. A module that some of them lack gets the
 * others' terms.
 *
 * @throws AmalgamError `invalid_checkpoint`, `shape_mismatch` (a module that differs in size: adapters of different bases),
 * `dtype_unsupported`; `invalid_recipe` for tensors that were trained whole, which no sum of products holds, and for factors of
 * different rank that are to be added
 */
export function planAdapterMerge(
  inputs: AdapterInput[],
  settings: AdapterMergeSettings,
  options: AdapterPlanOptions = {},
): AdapterPlan {
  const read = inputs.map((input, i) => readAdapter(input, `/models/${i}/model`));
  refuseWhole(read);
  const modules = plannedModules(read, settings);
  const configs = read.map(({ config }) => config);
  const warnings = warningsOf(read, inputs, modules.length);
  const layout = layOutAdapter(modules, [], settings.dtype);
  return {
    inputs,
    modules,
    whole: [],
    dtype: settings.dtype,
    layout,
    config: adapterConfigOf(modules, [], {
      revision: null,
      baseModel: shared(configs.map(({ baseModel }) => baseModel)),
      taskType: shared(configs.map(({ taskType }) => taskType)),
      fanInFanOut: configs.some(({ fanInFanOut }) => fanInFanOut),
    }),
    range: NO_RANGE,
    bytesRead: modules.reduce(
      (sum, { work }) => sum + termsOf(work).reduce((all, { a, b }) => all + a.bytes + b.bytes, 0),
      0,
    ),
    ...planMemory(modules, NO_RANGE, options),
    warnings,
  };
}

const NO_RANGE: RangeOptions = { seed: 0, powerIterations: 0, oversampling: 0 };

interface Read {
  input: AdapterInput;
  pointer: string;
  config: AdapterConfig;
  pairs: Map<string, FactorPair>;
  /** Names of tensors that were trained whole. */
  whole: string[];
  /** Names of embeddings that were saved along with their factors. */
  copies: string[];
}

function readAdapter(input: AdapterInput, pointer: string): Read {
  if (input.checkpoint.kind !== 'adapter') {
    const detail = `"${input.reference}" is a full model, and only LoRA adapters can be merged into one; give a base to merge models`;
    throw new AmalgamError('invalid_recipe', detail, { errors: [{ pointer, detail }] });
  }
  const config = readAdapterConfig(input.checkpoint, input.reference);
  const problems: Problem[] = [];
  const { pairs, whole, copies } = collectFactors(input.checkpoint, config, problems);
  if (problems.length === 0 && pairs.length === 0) {
    problems.push({ code: 'invalid_checkpoint', detail: 'has no factors of a LoRA' });
  }
  if (problems.length > 0) throw problemError(problems, input.reference, pointer);
  return {
    input,
    pointer,
    config,
    pairs: new Map(pairs.map((pair) => [pair.module, pair])),
    whole: [...whole.keys()].filter((name) => !copies.has(name)),
    copies: [...copies],
  };
}

function refuseWhole(read: readonly Read[]): void {
  const errors = read.flatMap(({ input, pointer, whole }): FieldError[] => {
    if (whole.length === 0) return [];
    const names = quoteList(whole);
    return [
      {
        pointer,
        detail: `"${input.reference}" also has tensors that were trained whole, ${names}: their sum is no adapter`,
      },
    ];
  });
  const [first] = errors;
  if (first !== undefined) {
    throw new AmalgamError('invalid_recipe', `${first.detail}; merge into a full model by giving the base`, { errors });
  }
}

function plannedModules(read: readonly Read[], settings: AdapterMergeSettings): PlannedModule[] {
  const problems: Problem[] = [];
  const names = [...new Set(read.flatMap(({ pairs }) => [...pairs.keys()]))].sort((a, b) => (a < b ? -1 : 1));
  const modules = names.flatMap((module) => {
    const terms: Term[] = [];
    let first: { pair: FactorPair; of: string } | undefined;
    for (const [input, { pairs, input: own }] of read.entries()) {
      const pair = pairs.get(module);
      if (pair === undefined) continue;
      first ??= { pair, of: own.reference };
      const differs = difference(first.pair, pair);
      if (differs !== null) {
        const detail = `${quote(module)} has ${differs} "${first.of}" and in "${own.reference}": they are adapters of different bases`;
        problems.push({ code: 'shape_mismatch', detail });
      }
      const coefficient = pair.scale * (settings.coefficients[input] ?? 0);
      terms.push({ input, a: pair.a, b: pair.b, rank: pair.rank, coefficient });
    }
    if (first === undefined) return [];
    const planned = planModule(module, first.pair, terms, settings);
    if ('detail' in planned) {
      problems.push(planned);
      return [];
    }
    return [planned];
  });
  if (problems.length > 0) throw problemError(problems, 'adapters', undefined);
  return modules;
}

function planModule(
  module: string,
  like: FactorPair,
  terms: Term[],
  settings: AdapterMergeSettings,
): PlannedModule | Problem {
  const sum = terms.reduce((all, term) => all + term.rank, 0);
  const [aRest, bRest] = [like.a.shape.slice(1), like.b.shape.slice(2)];
  const inner = product(aRest);
  const outer = like.b.shape[0] ?? 1;
  let work: ModuleWork;
  let rank: number;
  if (settings.combine === 'factors') {
    const ranks = new Set(terms.map((term) => term.rank));
    if (ranks.size > 1) {
      const detail = `${quote(module)} has factors of ranks ${[...ranks].join(', ')}: factors can only be added when their ranks are equal; add products`;
      return { code: 'shape_mismatch', detail };
    }
    rank = like.rank;
    work = { kind: 'add factors', terms };
  } else {
    rank = Math.min(settings.rank ?? sum, sum);
    // More than the matrix can have is only cut where a cut is asked for: it costs the exactness of the factors.
    if (settings.rank !== null) rank = Math.min(rank, inner, outer);
    work = rank === sum ? { kind: 'concatenate', terms } : { kind: 'truncate', terms };
  }
  const shapes = { aShape: [rank, ...aRest], bShape: [outer, rank, ...bRest] };
  return { module, embedding: like.embedding, rank, inner, outer, ...shapes, work };
}

/** In what two modules of one name differ, but for their rank; null in nothing. */
function difference(one: FactorPair, other: FactorPair): string | null {
  if (one.embedding !== other.embedding) return 'factors of different kinds in';
  const [a, b] = [one.a.shape, other.a.shape];
  if (!same(a.slice(1), b.slice(1))) return `A of shapes ${showShape(a)} and ${showShape(b)} in`;
  const [c, d] = [one.b.shape, other.b.shape];
  if (c[0] !== d[0] || !same(c.slice(2), d.slice(2))) return `B of shapes ${showShape(c)} and ${showShape(d)} in`;
  return null;
}

function warningsOf(read: readonly Read[], inputs: readonly AdapterInput[], modules: number): string[] {
  const warnings: string[] = [];
  const bases = new Set(read.flatMap(({ config }) => (config.baseModel === null ? [] : [config.baseModel])));
  if (bases.size > 1) warnings.push(`the adapters name different bases: ${quoteList([...bases])}`);
  const copies = [...new Set(read.flatMap((own) => own.copies))];
  if (copies.length > 0) warnings.push(`copies of the base's own tensors are left out: ${quoteList(copies)}`);
  for (const [i, { pairs }] of read.entries()) {
    if (pairs.size < modules) {
      warnings.push(
        `"${inputs[i]?.reference ?? ''}" adapts ${pairs.size} of ${modules} modules; the others get nothing of it`,
      );
    }
  }
  return warnings;
}

function termsOf(work: ModuleWork): Term[] {
  return work.kind === 'extract' ? [] : work.terms;
}

function shared<T>(values: readonly (T | null)[]): T | null {
  const [first] = values;
  return first !== undefined && values.every((value) => value === first) ? first : null;
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((all, size) => all * size, 1);
}
