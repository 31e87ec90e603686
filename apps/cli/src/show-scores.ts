import type { Coefficients, Report, Score, TaskReport } from '@amalgam/contracts';
import { summarizeCoefficients } from '@amalgam/engine';
import { showTable } from './show.js';

/** A column of a table of scores: what was judged, and its score on each task. */
export interface ScoreColumn {
  title: string;
  scores: (Score | null)[];
}

type Measure = keyof Score;

/** Tasks × columns, with the mean over tasks below; – where there is no number. */
export function showScores(measure: Measure, tasks: readonly string[], columns: readonly ScoreColumn[]): string {
  const values = columns.map(({ scores }) => scores.map((score) => score?.[measure] ?? null));
  const rows = tasks.map((task, i) => [task, ...values.map((column) => showScore(measure, column[i] ?? null))]);
  const means = ['mean', ...values.map((column) => showScore(measure, mean(column)))];
  return showTable([measure, ...columns.map(({ title }) => title)], [...rows, means]);
}

/** How well a result does its tasks: accuracy where there are labels, and entropy in nats. */
export function showTasks(tasks: readonly TaskReport[]): string {
  const columns: ScoreColumn[] = [
    { title: 'individual', scores: tasks.map(({ individual }) => individual) },
    { title: 'base', scores: tasks.map(({ base }) => base) },
    { title: 'merged', scores: tasks.map(({ accuracy, entropy }) => ({ accuracy, entropy })) },
  ];
  const names = tasks.map(({ name }) => name);
  const labelled = tasks.some(({ accuracy }) => accuracy !== null);
  const measures: Measure[] = labelled ? ['accuracy', 'entropy'] : ['entropy'];
  return measures.map((measure) => showScores(measure, names, columns)).join('\n\n');
}

/** Of each model's coefficients, as they entered the merge. */
export function showCoefficients(coefficients: Coefficients): string {
  const rows = summarizeCoefficients(coefficients).map(({ model, mean, min, max }) => [
    model,
    ...[mean, min, max].map((value) => value.toFixed(4)),
  ]);
  return showTable(['coefficients', 'mean', 'least', 'largest'], rows);
}

/** Most modules that are shown; the report has all. */
const MOST_MODULES = 10;

/** What an adapter's products keep of what they stand for, beginning with those that lose most. */
export function showAdapter({ kept, modules }: NonNullable<Report['adapter']>): string {
  if (kept === undefined) return `${modules.length} modules`;
  const losses = [...modules].sort((a, b) => (a.kept ?? 1) - (b.kept ?? 1)).slice(0, MOST_MODULES);
  const rows = losses.map((module) => [
    module.name,
    `${module.rank}`,
    module.norm?.toPrecision(4) ?? '–',
    module.kept === undefined ? '–' : percent(module.kept),
  ]);
  const hidden = modules.length - losses.length;
  const more = hidden > 0 ? `\n${hidden} more modules lose less: report.json` : '';
  return `${showTable(['module', 'rank', 'norm', 'kept'], rows)}${more}\nof all squared norms ${percent(kept)} are kept`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

function showScore(measure: Measure, value: number | null): string {
  if (value === null) return '–';
  return measure === 'accuracy' ? `${(100 * value).toFixed(1)} %` : value.toFixed(4);
}

/** Null when one is missing: a mean over some tasks compares with nothing. */
function mean(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === values.length ? known.reduce((sum, value) => sum + value, 0) / known.length : null;
}
