import type { Dtype } from '@amalgam/contracts';
import type { CheckpointDescription, CheckpointTensor } from '@amalgam/tensors';
import type { AdapterLayout, OutputModule, OutputWhole } from './output.js';

/** A checkpoint that an adapter is made from, described from its headers. */
export interface AdapterInput {
  /** What messages call it. */
  reference: string;
  checkpoint: CheckpointDescription;
  /** The repository of the Hugging Face hub that it is, where that is known. */
  hub?: { repo: string; revision: string | null };
}

/** A term of a sum of products: coefficient · B A, with PEFT's scale in the coefficient. */
export interface Term {
  input: number;
  a: CheckpointTensor;
  b: CheckpointTensor;
  rank: number;
  coefficient: number;
}

/** How the factors of one module come about. */
export type ModuleWork =
  /** The terms' factors side by side: their sum, exactly. */
  | { kind: 'concatenate'; terms: Term[] }
  /** The nearest product of the module's rank to the terms' sum. */
  | { kind: 'truncate'; terms: Term[] }
  /** Factors added up each for themselves, which also multiplies each term's B with the others' A. */
  | { kind: 'add factors'; terms: Term[] }
  /** The nearest product of the module's rank to model − base, nearly; both are matrices [rows, columns]. */
  | {
      /** Of the plan's inputs the first is the base, the second the model. */
      kind: 'extract';
      base: CheckpointTensor;
      model: CheckpointTensor;
      /** A row of the matrix is an input of the module, not an output: B and A are its right and left factors. */
      transposed: boolean;
    };

export interface PlannedModule extends OutputModule {
  work: ModuleWork;
}

export interface PlannedWhole extends OutputWhole {
  input: number;
  from: CheckpointTensor;
}

export interface RangeOptions {
  seed: number;
  powerIterations: number;
  oversampling: number;
}

/** Everything that writing an adapter needs, made from headers alone. */
export interface AdapterPlan {
  inputs: AdapterInput[];
  modules: PlannedModule[];
  whole: PlannedWhole[];
  /** Of the factors; what is whole keeps its own. */
  dtype: Dtype;
  layout: AdapterLayout;
  /** adapter_config.json */
  config: Record<string, unknown>;
  range: RangeOptions;
  bytesRead: number;
  threads: number;
  /** What each thread may keep of a tensor that it needs several times. */
  cacheBytes: number;
  /** Bound on the process' resident memory. */
  memoryBytes: number;
  warnings: string[];
}

export interface AdapterPlanOptions {
  /** Bound on the process' resident memory, in bytes. Default 512 MB. */
  memoryBytes?: number;
  /** Default: one per core, or fewer where the memory bound has no room for them. */
  threads?: number;
}

/** What became of a module. */
export interface ModuleReport {
  module: string;
  rank: number;
  /**
   * Share of the squared Frobenius norm that the product keeps of what it stands for; 1 where nothing is cut, null where it stands
   * for nothing that could be compared (factors added up).
   */
  kept: number | null;
  /** The squared norm of what it stands for; null where nobody computed it. */
  squares: number | null;
}
