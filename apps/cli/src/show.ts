import type { Plan, RecipeTask } from '@amalgam/contracts';
import { showRecipe } from './show-recipe.js';

/** Bytes for people: 1.40 GB. */
export function showBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit]}`;
}

/** A table with columns as wide as their widest cell; numbers go to the right. */
export function showTable(head: string[], rows: string[][]): string {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  const numeric = head.map((_, i) => rows.every((row) => /^[\d.,–]/.test(row[i]!)));
  const line = (cells: string[]) =>
    cells
      .map((cell, i) => (numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}

function showTask({ name, model, graph, data, evaluation }: RecipeTask): string {
  const of = [model, graph, data === undefined ? [] : `learns from ${data}`, `evaluated on ${evaluation ?? data}`];
  return `task        ${name}: ${of.flat().join(', ')}`;
}

function showTuning({ steps, coefficients, task_vector_bytes: bytes }: NonNullable<Plan['tuning']>): string {
  return `tuning      ${steps} steps, ${coefficients.toLocaleString('en')} coefficients, task vectors in a temporary file of ${showBytes(bytes)}`;
}

export function showPlan(plan: Plan): string {
  const { merged, copied, heads } = plan.tensors;
  return [
    ...showRecipe(plan.recipe),
    ...(plan.recipe.tasks ?? []).map(showTask),
    `tensors     ${merged} merged (${plan.parameters.toLocaleString('en')} parameters), ${copied} copied, ${heads} in heads/`,
    `reads       ${showBytes(plan.bytes_read)}`,
    `writes      ${showBytes(plan.bytes_written)} in ${plan.files.length} files`,
    `memory      at most ${showBytes(plan.memory_bytes)}`,
    `time        about ${plan.seconds} s${plan.tuning === undefined ? '' : ', and that of the tuning'}`,
    ...(plan.tuning === undefined ? [] : [showTuning(plan.tuning)]),
    ...plan.files.map((file) => `  ${file.path}  ${showBytes(file.bytes)}, ${file.tensors} tensors`),
    ...plan.warnings.map((warning) => `note: ${warning}`),
  ].join('\n');
}
