import type { AdapterPlan } from '@amalgam/adapters';
import type { AssetFile, Dtype, Recipe } from '@amalgam/contracts';
import type { Settings, TuningSettings } from '@amalgam/methods';
import type { CheckpointDescription } from '@amalgam/tensors';
import type { TokenPlan } from '@amalgam/tokenizers';
import type { Scaling } from './scaled-weights.js';
import type { Source } from './source.js';

/** A checkpoint that takes part in a merge, described from its headers. */
export interface ModelInput {
  /** What the recipe calls it; used in messages. */
  reference: string;
  /** Equal for two inputs exactly when they are the same checkpoint. */
  identity: string;
  /** Short name for reports and heads/<name>.safetensors. */
  name: string;
  checkpoint: CheckpointDescription;
  /** The repository of the Hugging Face hub that it is, where that is known. */
  hub?: { repo: string; revision: string | null };
  /** Weights that are stored in units of a scale, by name, where `readScaled` has put them; else absent: every number is itself a weight. */
  scalings?: ReadonlyMap<string, Scaling>;
}

/** One tensor of the result, and where its bytes go. */
export interface PlannedTensor {
  name: string;
  dtype: Dtype;
  shape: readonly number[];
  elements: number;
  bytes: number;
  /** Index into `MergePlan.files`, and the absolute offset there. */
  file: number;
  begin: number;
}

export interface MergedTensor extends PlannedTensor {
  base: Source | null;
  models: Source[];
  /** Of each of `models`: its index among the recipe's models. */
  columns: number[];
  /** Index into `MergePlan.settings`. */
  settings: number;
  /** Position among the layers of its slice or stack, 0 to 1; outside of layers 0. */
  t: number;
}

export interface CopiedTensor extends PlannedTensor {
  from: Source;
}

export interface OutputFile {
  path: string;
  header: Uint8Array;
  bytes: number;
  tensors: number;
}

/** A file masks/<model>.safetensors. */
export interface MaskFile {
  /** Index into `MergePlan.files`. */
  file: number;
  /** Index among the recipe's models. */
  model: number;
  /** Absolute offset of the model's number, one float32. */
  number: number;
  /** By merged tensor: absolute offset of its mask. */
  begins: number[];
}

/** What a method learns, and what that takes. */
export interface TuningPlan {
  settings: TuningSettings;
  /** Of the coefficients: one for each merged tensor, or a single one. Columns are the models. */
  rows: number;
  /** The file that writeTaskVectors makes with the settings' dtype, and what it reads for that. */
  vectorBytes: number;
  bytesRead: number;
}

/** Everything that executing a merge needs, made from headers alone. */
export interface MergePlan {
  /** With every parameter's default filled in. */
  recipe: Recipe;
  /** The parameters that tensors are merged with, each once; a tensor's are aligned to its models. */
  settings: Settings[];
  inputs: ModelInput[];
  hasBase: boolean;
  /** In order of name: the order in which entries are numbered. */
  merged: MergedTensor[];
  copied: CopiedTensor[];
  heads: CopiedTensor[];
  files: OutputFile[];
  /** For methods that leave masks beside the result. */
  masks: MaskFile[];
  /** Index into `inputs`: whose config and tokenizer the result gets. */
  donor: number;
  /** What differs from the donor's config.json: dotted paths to values; undefined: the member goes. */
  configChanges: Record<string, unknown>;
  /** The result's tokenizer, with indices into `inputs`; null: the donor's files as they are. */
  tokens: TokenPlan | null;
  chunkElements: number;
  threads: number;
  memoryBytes: number;
  /** By the merge itself, without the tuning. */
  bytesRead: number;
  bytesWritten: number;
  /** Null for methods that learn nothing. */
  tuning: TuningPlan | null;
  /** For methods whose result is an adapter; there are no merged, copied or kept tensors then. Null for all others. */
  adapter: AdapterPlan | null;
  warnings: string[];
}

export interface PlanOptions {
  /** Bound on the process' resident memory, in bytes. Default 512 MB. */
  memoryBytes?: number;
  /** Default: one per core, or fewer where the memory bound has no room for them. */
  threads?: number;
  /** Elements of a chunk, a power of two; for tests. Default: what the memory allows. */
  chunkElements?: number;
}

/** A file that was written, and the digest of its bytes unless digests were switched off. */
export type WrittenFile = AssetFile;
