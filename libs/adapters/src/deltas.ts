import { isFloat, quote, showShape } from '@amalgam/contracts';
import type { CheckpointDescription, CheckpointTensor } from '@amalgam/tensors';
import { type AdapterConfig, readAdapterConfig } from './adapter-config.js';
import { collectFactors, type FactorPair } from './factors.js';
import { inOutEvidence } from './orientation.js';
import { type Problem, problemError } from './problems.js';
import { findRename } from './targets.js';

/** A factor of a product as the adapter stores it, as a matrix: further dimensions are flattened into the last one. */
export interface AdapterFactor {
  tensor: CheckpointTensor;
  /** The factor's [i, j] is stored at [j, i]. */
  transposed: boolean;
}

/**
 * What an adapter adds to one tensor of the base, seen as a matrix [rows, columns] (further dimensions flattened into the columns):
 * scale · Σ left[i, k] · right[k, j] over k < rank.
 */
export interface LowRankDelta {
  rows: number;
  columns: number;
  rank: number;
  scale: number;
  /** [rows, rank] */
  left: AdapterFactor;
  /** [rank, columns] */
  right: AdapterFactor;
}

export interface AdapterDeltas {
  /** By the base's tensor; the delta comes on top of the base's tensor, or of what `replaced` has for it. */
  deltas: Map<string, LowRankDelta>;
  /** Tensors that take the place of the base's (modules_to_save, trained biases, embeddings saved along), by the base's name. */
  replaced: Map<string, CheckpointTensor>;
  /** Whole tensors that the base lacks, a new head say, by their name in a model. */
  added: Map<string, CheckpointTensor>;
}

export interface AdapterLabels {
  /** What messages call the two. */
  adapter: string;
  base: string;
  /** Where the recipe names the adapter; none: problems have no pointer. */
  pointer?: string;
}

/**
 * What a PEFT LoRA adapter does to a base, from the headers of both: base + scale · B A for each target.
 *
 * @throws AmalgamError `invalid_checkpoint` (its config, a factor without the other, a rank that is not the config's, a tensor that
 * is none of PEFT's), `tensor_missing` (a target that the base lacks), `shape_mismatch` (it was made for another base),
 * `dtype_unsupported` (a target or factor of integers); with every problem of the tensors, up to a hundred
 */
export function adapterDeltas(
  adapter: CheckpointDescription,
  base: Pick<CheckpointDescription, 'tensors'>,
  labels: AdapterLabels = { adapter: 'the adapter', base: 'the base' },
): AdapterDeltas {
  const config = readAdapterConfig(adapter, labels.adapter);
  const problems: Problem[] = [];
  const { pairs, whole } = collectFactors(adapter, config, problems);
  const rename = findRename(
    [...pairs.map(({ module }) => `${module}.weight`), ...(pairs.length === 0 ? whole.keys() : [])],
    base.tensors,
    labels,
  );

  const replaced = new Map<string, CheckpointTensor>();
  const added = new Map<string, CheckpointTensor>();
  for (const [path, tensor] of whole) {
    const name = base.tensors.has(path) ? path : rename(path);
    if (base.tensors.has(name)) replaced.set(name, tensor);
    else if (isSaved(path, config)) added.set(path, tensor);
    else problems.push(missing(tensor.name, name, labels, base.tensors));
  }
  const deltas = new Map<string, LowRankDelta>();
  const storedInOut = inOutEvidence(base.tensors);
  for (const pair of pairs) {
    const name = rename(`${pair.module}.weight`);
    const target = replaced.get(name) ?? base.tensors.get(name);
    if (target === undefined) {
      problems.push(missing(pair.a.name, name, labels, base.tensors));
      continue;
    }
    const delta = toDelta(pair, { name, tensor: target, storedInOut }, config, problems);
    if (delta !== null) deltas.set(name, delta);
  }
  if (problems.length === 0 && deltas.size + replaced.size + added.size === 0) {
    problems.push({ code: 'invalid_checkpoint', detail: 'has no tensor of a LoRA' });
  }
  if (problems.length > 0) throw problemError(problems, labels.adapter, labels.pointer);
  return { deltas, replaced, added };
}

interface Target {
  name: string;
  tensor: CheckpointTensor;
  storedInOut(name: string): boolean | null;
}

function toDelta(pair: FactorPair, target: Target, config: AdapterConfig, problems: Problem[]): LowRankDelta | null {
  const { a, b, module, rank, scale } = pair;
  const report = (code: Problem['code'], detail: string) => problems.push({ code, detail });
  if (!isFloat(target.tensor.dtype)) {
    report(
      'dtype_unsupported',
      `its target ${quote(target.name)} is ${target.tensor.dtype} in the base: a LoRA can be added to floating point only, not to a quantised model`,
    );
    return null;
  }
  const { shape } = target.tensor;
  const rows = shape[0] ?? 1;
  const columns = rows === 0 ? 0 : shape.slice(1).reduce((product, size) => product * size, 1);
  const transposed = orientation(pair, target, config);
  if (transposed === null) {
    const shapes = `${showShape(b.shape)} and ${showShape(a.shape)} (B and A of ${quote(module)})`;
    report(
      'shape_mismatch',
      `its target ${quote(target.name)} has shape ${showShape(shape)}, which the product of ${shapes} does not have: it was made for another base`,
    );
    return null;
  }
  const [left, right] = transposed ? [a, b] : [b, a];
  return { rows, columns, rank, scale, left: { tensor: left, transposed }, right: { tensor: right, transposed } };
}

/** Whether the product is added the other way round, as A' B'; null when it fits in neither way. */
function orientation({ a, b, embedding }: FactorPair, target: Target, config: AdapterConfig): boolean | null {
  const { shape } = target.tensor;
  if (shape.length !== a.shape.length || shape.length !== b.shape.length) return null;
  const [outputs] = b.shape;
  if (shape.length > 2) {
    const fits =
      shape[0] === outputs &&
      sameSizes(shape.slice(1), a.shape.slice(1)) &&
      b.shape.slice(2).every((size) => size === 1);
    return fits ? false : null;
  }
  const straight = shape[0] === outputs && shape[1] === a.shape[1];
  const turned = shape[1] === outputs && shape[0] === a.shape[1];
  if (embedding) return turned ? true : null;
  if (straight && turned) return target.storedInOut(target.name) ?? config.fanInFanOut;
  return straight ? false : turned ? true : null;
}

function sameSizes(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((size, i) => size === b[i]);
}

/** Is the tensor one of a module that the config says was trained whole? It may lie deeper in there. */
function isSaved(path: string, { modulesToSave }: AdapterConfig): boolean {
  const parts = path.split('.').slice(0, -1);
  return parts.some((_, from) => parts.some((_, to) => modulesToSave.has(parts.slice(from, to + 1).join('.'))));
}

/** Where a model that has no weight of this name takes the embedding's. */
const HEAD = /(^|\.)(lm_head|embed_out|proj_out)\.weight$/;
const EMBEDDING = /(^|\.)(embed_tokens|wte|word_embeddings|embed_in|shared)\.weight$/;

function missing(
  tensor: string,
  name: string,
  { base }: AdapterLabels,
  tensors: ReadonlyMap<string, unknown>,
): Problem {
  const shares = HEAD.test(name) && [...tensors.keys()].some((other) => EMBEDDING.test(other));
  const why = shares
    ? ': its head is its embedding (tie_word_embeddings), which an adapter of the head would change too; save it with a head of its own first'
    : '';
  return {
    code: 'tensor_missing',
    detail: `${quote(tensor)} is for ${quote(name)}, which ${base} does not have${why}`,
  };
}
