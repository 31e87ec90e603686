import type { FieldError } from '@amalgam/contracts';
import type { Kernels, Pointer } from '@amalgam/kernels';
import type { Static, TObject } from 'typebox';

/** Elements that a method sees at a time; task vectors and scratch of a block stay in the processor's cache. */
export const BLOCK = 2048;

/**
 * One block of one tensor, in the kernels' memory. All values are float32; each area is padded with zeros to a multiple of
 * four elements.
 */
export interface Block {
  kernels: Kernels;
  /** Elements, at most BLOCK. */
  n: number;
  /** The base's values; null for a merge without base. */
  base: Pointer | null;
  /** First model's values, or task vectors (model − base), as the method's `inputs` says. The others follow `stride` bytes apart. */
  models: Pointer;
  stride: number;
  count: number;
  /** The models' `weight` parameters as float32, where the method has them. */
  weights: Pointer;
  /** Where the merged values go. */
  out: Pointer;
}

/** A method's parameters with every default filled in. */
export interface Settings<G = Record<string, unknown>, M = Record<string, unknown>> {
  global: G;
  models: M[];
}

/**
 * Keep the `density` share of each task vector with the largest magnitudes, exactly max(1, floor(density · d)) of d entries.
 * Among equals at the threshold those of lowest index are kept (tensors in order of name, entries in row-major order).
 */
export interface Trim {
  /** `model`: one threshold for all merged tensors of a model; `tensor`: one for each tensor. */
  scope: 'model' | 'tensor';
  densities: number[];
}

/** A merging method: what it is called, what it takes, and how it combines a block. One file each; see registry.ts. */
export interface MergeMethod<G extends TObject = TObject, M extends TObject = TObject> {
  name: string;
  summary: string;
  formula: string;
  source: string;
  /** What differs from the paper, its code, or mergekit. */
  notes: string[];
  base: 'required' | 'optional';
  models: { minimum: number; maximum: number | null };
  /** Parameters of the whole merge, with defaults. */
  parameters: G;
  /** Parameters of each model, with defaults; a value among the recipe's own `parameters` serves for all models. */
  modelParameters: M;
  inputs: 'weights' | 'task_vectors';
  /** Rules that no single field shows. Pointers start at the recipe. */
  check?(settings: Settings<Static<G>, Static<M>>): FieldError[];
  trim?(settings: Settings<Static<G>, Static<M>>): Trim;
  /** Writes `block.out`; returns how many entries have survivors of both signs, where the method elects signs. */
  combine(block: Block, settings: Settings<Static<G>, Static<M>>): number;
}

/** Keeps the types of a definition's schemas while it is written, and forgets them for the registry. */
export function defineMethod<G extends TObject, M extends TObject>(method: MergeMethod<G, M>): MergeMethod {
  return method as unknown as MergeMethod;
}
