import type { FieldError, Static, TObject } from '@amalgam/contracts';
import type { Kernels, Pointer } from '@amalgam/kernels';
import type { AdapterSettings } from './adapter-settings.js';
import type { Gram } from './gram.js';
import type { Sparsify } from './sparsify.js';
import type { Found, Survey } from './survey.js';

/** Elements that a method sees at a time; task vectors and scratch of a block stay in the processor's cache. */
export const BLOCK = 2048;

/** Float32 of a model that a method may lay out for its kernels. */
export const NUMBERS = 8;

/**
 * One block of one tensor, in the kernels' memory. All values are float32; each area is padded with zeros to a multiple of
 * four elements.
 */
export interface Block {
  kernels: Kernels;
  /** Elements, at most BLOCK. */
  n: number;
  /** The base's values; null for a merge over weights. */
  base: Pointer | null;
  /** First model's values, or task vectors (model − base), as the method's `inputs` says. The others follow `stride` bytes apart. */
  models: Pointer;
  stride: number;
  count: number;
  /**
   * By model, as float32: the `weight` parameters, where the method has them; for tuned methods the tensor's coefficients,
   * clamped; for methods with `blend` what it returned.
   */
  weights: Pointer;
  /** Room for NUMBERS float32 of each model, which a method may write to; they last for the block. */
  numbers: Pointer;
  /** Where the merged values go. */
  out: Pointer;
  /**
   * For methods whose `shares` or `blendScope` says so: the first model's, a float32 for each entry. The others' follow `sharesStride`
   * bytes apart. Null for all others.
   */
  shares: Pointer | null;
  sharesStride: number;
  /** Index of the block's first element in its tensor. */
  index: number;
  /** What the method's surveys have found for the tensor, in their order. */
  found: Found[];
}

/**
 * Whole rows of one tensor: entries that differ in the last index only. A vector is one row, a scalar a row of one. As in Block, values
 * are float32 and inputs are models' values or task vectors; base is null for a merge over weights.
 */
export interface Rows {
  kernels: Kernels;
  rows: number;
  /** Entries of a row; not 0. */
  length: number;
  base: Pointer | null;
  models: Pointer;
  stride: number;
  count: number;
  /** 49152 + 24 · length bytes. */
  scratch: Pointer;
  /**
   * For methods with `keepsRows`, where rows are long: a float64 of each row. It is NaN at first; what is written there is found again when
   * the row is looked at once more. Null for others.
   */
  known: Pointer | null;
}

/** A method's parameters with every default filled in. */
export interface Settings<G = Record<string, unknown>, M = Record<string, unknown>> {
  global: G;
  models: M[];
}

/** How a method's coefficients are learned (libs/tuning). Names as in the recipe, where adamerging.ts describes them. */
export interface TuningSettings {
  granularity: 'layer' | 'task';
  signResolve: boolean;
  density: number;
  init: number;
  clamp: [number, number] | null;
  steps: number;
  batchSize: number;
  batchesPerStep: number;
  learningRate: number;
  sampling: 'shuffle' | 'sequential';
  seed: number;
  loss: 'entropy';
  taskVectorDtype: 'float32' | 'float16' | 'bfloat16';
}

/** What a method leaves beside its result for each model: a mask of one bit for each merged entry, and a number. */
export interface Masks<G, M> {
  /** What the number's tensor is called in masks/<model>.safetensors. */
  name: string;
  /** Leaves of each model's part of the block what is not 0 where its mask is set. `block.weights` is not set. */
  select(block: Block, settings: Settings<G, M>): void;
  /** The models' numbers. */
  rescalers(found: Found[]): number[];
}

/** A merging method: what it is called, what it takes, and how it combines a block. One file each; see registry.ts. */
export interface MergeMethod<G extends TObject = TObject, M extends TObject = TObject> {
  name: string;
  summary: string;
  formula: string;
  source: string;
  /** What differs from the paper, its code, or mergekit. */
  notes: string[];
  base: 'required' | 'optional' | 'none';
  models: { minimum: number; maximum: number | null };
  /** Parameters of the whole merge, with defaults. */
  parameters: G;
  /** Parameters of each model, with defaults; a value among the recipe's own `parameters` serves for all models. */
  modelParameters: M;
  /** by_base: task vectors where the recipe has a base, else weights. */
  inputs: 'weights' | 'task_vectors' | 'by_base';
  /** Rules that no single field shows. Pointers start at the recipe. */
  check?(settings: Settings<Static<G>, Static<M>>): FieldError[];
  /**
   * Parameters that with these settings must be the same for all tensors, besides enumerations and what has `uniform: true` in
   * its schema. Only parameters that cannot vary themselves may decide.
   */
  uniform?(settings: Settings<Static<G>, Static<M>>): string[];
  /** Marks a method whose coefficients are learned from the recipe's tasks before it merges; it takes task vectors. */
  tuned?(settings: Settings<Static<G>, Static<M>>): TuningSettings;
  /** Marks a method whose result is a LoRA adapter and no model. */
  adapter?(settings: Settings<Static<G>, Static<M>>): AdapterSettings;
  /** What the method keeps of its task vectors; null where these settings keep everything. */
  sparsify?(settings: Settings<Static<G>, Static<M>>): Sparsify | null;
  /**
   * For methods on norms and angles: the models' coefficients in one tensor, from the inner products of their inputs there.
   * Not asked for tensors whose inner products are not finite: their coefficients are NaN.
   *
   * @throws AmalgamError `invalid_recipe` where the method is not defined for what the tensor holds.
   */
  blend?(gram: Gram, settings: Settings<Static<G>, Static<M>>, tensor: string): number[];
  /**
   * What `blend` takes for one vector: a whole tensor, or each of its rows, or each of its columns (entries that differ in the first
   * index only; a vector is one). Coefficients of rows and columns are at `Block.shares`. Default: tensor.
   */
  blendScope?(settings: Settings<Static<G>, Static<M>>): 'tensor' | 'row' | 'column';
  /**
   * For methods that look at whole rows: replaces the models' inputs there by what each entry gets of its row, which surveys and `combine`
   * find at `Block.shares`. Null where these settings look at none.
   */
  shares?(settings: Settings<Static<G>, Static<M>>): ((rows: Rows) => void) | null;
  /** `shares` works out a number for each row, which is kept until the merge ends: `Rows.known`. */
  keepsRows?: true;
  /** What the method has to know of its inputs as a whole before it resolves and combines. */
  surveys?(settings: Settings<Static<G>, Static<M>>): Survey[];
  /** Files beside the result. The method's first survey is then one of scope model. */
  masks?: Masks<Static<G>, Static<M>>;
  /** Do these settings elect signs? Only then do conflicts mean something. */
  electsSigns?(settings: Settings<Static<G>, Static<M>>): boolean;
  /**
   * Changes the block's task vectors in place after they are sparsified and before `combine`; coefficients are learned for what it
   * leaves. Returns how many entries have survivors of both signs.
   */
  resolve?(block: Omit<Block, 'weights' | 'numbers' | 'out'>, settings: Settings<Static<G>, Static<M>>): number;
  /** Writes `block.out`; returns how many entries have survivors of both signs, where the method elects signs. */
  combine(block: Block, settings: Settings<Static<G>, Static<M>>): number;
}

/** Keeps the types of a definition's schemas while it is written, and forgets them for the registry. */
export function defineMethod<G extends TObject, M extends TObject>(method: MergeMethod<G, M>): MergeMethod {
  return method as unknown as MergeMethod;
}

/** Does a method work on task vectors, given whether the recipe has a base? Otherwise it works on the models' values. */
export function isOverVectors(method: Pick<MergeMethod, 'inputs'>, hasBase: boolean): boolean {
  return method.inputs === 'task_vectors' || (method.inputs === 'by_base' && hasBase);
}
