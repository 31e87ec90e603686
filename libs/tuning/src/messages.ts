import type { BindingReport, PlainError, Score } from '@amalgam/contracts';
import type { EvaluateJob, TuneJob, TuningState } from './jobs.js';

/** What the forked process is asked to do. */
export type Request = TuneJob | EvaluateJob;

/** How a task's graph was bound, as the report has it. */
export interface BoundTask {
  task: string;
  bound: BindingReport[];
  constants: string[];
  unused: string[];
}

export interface Tuned {
  state: TuningState;
  bindings: BoundTask[];
  peakRssBytes: number;
  /** Graphs that a step runs. */
  encoders: number;
}

export interface Evaluated {
  tasks: { name: string; rows: number; merged: Score; individual: Score; base: Score | null }[];
  peakRssBytes: number;
}

/** What it says while it works, and at its end. */
export type Message =
  | { kind: 'step'; step: number; losses: number[] }
  | { kind: 'state'; state: TuningState }
  | { kind: 'evaluated'; done: number; total: number }
  /** Between those: work goes on. */
  | { kind: 'alive' }
  | { kind: 'note'; text: string; fields: Record<string, unknown> }
  | { kind: 'tuned'; result: Tuned }
  | { kind: 'scores'; result: Evaluated }
  | { kind: 'failed'; error: PlainError };
