import type { Recipe, Report, TaskReport } from '@amalgam/contracts';
import type { DemoZoo } from './demo-zoo.js';
import { type ScoreColumn, showScores } from './show-scores.js';

/** One of the merges that the demo compares. */
export interface DemoMerge {
  title: string;
  recipe: Recipe;
}

/** As the zoo's reference results have it, which PyTorch computed. */
const LEARNED = { granularity: 'layer', steps: 400, sampling: 'sequential' };
const LAMBDA = 0.3;

const METHODS = {
  ties: ['TIES', 'ties', { density: 0.2, lambda: LAMBDA, combine: 'sum' }],
  average: ['weight average', 'linear', {}],
  arithmetic: ['task arithmetic', 'task_arithmetic', { lambda: LAMBDA }],
  ada: ['AdaMerging', 'adamerging', { ...LEARNED, init: LAMBDA }],
  adaPlus: ['AdaMerging++', 'adamerging', { ...LEARNED, init: LAMBDA, sign_resolve: true }],
} as const;

export type MethodKey = keyof typeof METHODS;
export const METHOD_KEYS = Object.keys(METHODS) as MethodKey[];

/** The same models by one method; the tasks are what AdaMerging learns from, and what every result is judged by. */
export function demoMerge(key: MethodKey, { base, models, tasks }: DemoZoo): DemoMerge {
  const [title, method, parameters] = METHODS[key];
  return { title, recipe: { method, base, models: models.map((model) => ({ model })), parameters, tasks } };
}

export type Reports = Record<MethodKey, Report>;

export function meanAccuracy({ tasks = [] }: Report): number {
  return tasks.reduce((sum, { accuracy }) => sum + (accuracy ?? 0), 0) / tasks.length;
}

/** Task × (individual models, and the merged ones by method). */
export function showAccuracies(reports: Reports): string {
  const tasks = reports.ada.tasks ?? [];
  const shown: MethodKey[] = ['average', 'arithmetic', 'ties', 'ada', 'adaPlus'];
  return showScores('accuracy', namesOf(tasks), [
    { title: 'individual', scores: tasks.map(({ individual }) => individual) },
    ...shown.map((key) => column(METHODS[key][0], reports[key])),
  ]);
}

/**
 * What learning did to the entropy. Before the first step all coefficients are those of task arithmetic; AdaMerging++ begins
 * where TIES is that sums what agrees.
 */
export function showEntropies({ arithmetic, ada, ties, adaPlus }: Reports): string {
  return showScores('entropy', namesOf(ada.tasks ?? []), [
    column('before', arithmetic),
    column('AdaMerging', ada),
    column('before', ties),
    column('AdaMerging++', adaPlus),
  ]);
}

function column(title: string, { tasks = [] }: Report): ScoreColumn {
  return { title, scores: tasks.map(({ accuracy, entropy }) => ({ accuracy, entropy })) };
}

function namesOf(tasks: readonly TaskReport[]): string[] {
  return tasks.map(({ name }) => name);
}
