import type { TuningSettings } from '@amalgam/methods';
import type { DatasetDescription } from '@amalgam/tensors';
import type { Provider } from './providers.js';
import type { StoredCheckpoint } from './stored.js';

/** What the process that runs onnxruntime is told. Plain data. */
export interface Job {
  provider: Provider;
  /** Threads of the CPU. */
  threads: number;
  /** Null for a merge without base. */
  base: StoredCheckpoint | null;
  /** In the recipe's order. */
  models: StoredCheckpoint[];
  /** The tensors that the merge works on, in the engine's order. */
  merged: { name: string; shape: readonly number[] }[];
  tasks: TaskJob[];
}

export interface TaskJob {
  name: string;
  /** Index into `models`. */
  model: number;
  graph: FileJob;
  data: DatasetJob | null;
  evaluation: DatasetJob | null;
  logits?: string | undefined;
  mask?: string | undefined;
}

export interface FileJob {
  /** What errors call it. */
  name: string;
  path: string;
}

export interface DatasetJob extends FileJob {
  description: DatasetDescription;
}

/** Base and task vectors in one file, as `writeTaskVectors` of @amalgam/engine leaves them. */
export interface VectorFile {
  path: string;
  bytes: number;
  dtype: 'F32' | 'F16' | 'BF16';
  tensors: { name: string; shape: readonly number[]; elements: number; base: number; vectors: number }[];
}

export interface TuneJob extends Job {
  kind: 'tune';
  base: StoredCheckpoint;
  vectors: VectorFile;
  settings: TuningSettings;
  /** Where an interrupted tuning goes on; null to begin. */
  resume: TuningState | null;
}

/** Everything that the remaining steps depend on. Plain numbers: JSON keeps them exactly. */
export interface TuningState {
  /** Steps done. */
  step: number;
  /** [rows, models], before clamping; so are the optimiser's moments. */
  coefficients: number[][];
  first: number[][];
  second: number[][];
  /** By step, then task. */
  losses: number[][];
  /** Rows that stay as they are, by index; known after the first step. */
  insensitive: number[];
  /** Of the CPU, with which the tuning began: another number may round otherwise. */
  threads: number;
  /** Seconds of each step. */
  seconds: number[];
  resumedAt: number[];
}

/** The merged model, the models themselves and the base on each task's dataset. */
export interface EvaluateJob extends Job {
  kind: 'evaluate';
  /** Of the result: the merged tensors. */
  result: StoredCheckpoint;
}
