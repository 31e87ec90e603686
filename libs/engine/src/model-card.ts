import type { Report, Score, TaskReport } from '@amalgam/contracts';
import { getMethod } from '@amalgam/methods';
import { summarizeCoefficients } from './coefficient-summary.js';
import type { MergePlan } from './types.js';

/** README.md of a result: what it is, from what, how, what the merge found, and how well the result does its tasks. */
export function modelCard(plan: MergePlan, report: Report, name = 'Merged model'): string {
  const method = getMethod(plan.recipe.method);
  const models = report.inputs.filter((input) => input.role === 'model');
  const base = report.inputs.find((input) => input.role === 'base');
  const lines = [
    '---',
    'tags: [merge, amalgam]',
    ...(plan.adapter === null ? [] : ['library_name: peft']),
    '---',
    '',
    `# ${oneLine(name)}`,
    '',
    `Merged by Amalgam with \`${method.name}\`: ${method.summary.toLowerCase()}.`,
    '',
    `    ${method.formula}`,
    '',
    `Source: ${method.source}.`,
    '',
    '## Inputs',
    '',
    ...(base === undefined ? [] : [`Base: \`${base.name}\`.`, '']),
    '| model | parameters | task vector norm | trimmed |',
    '|---|---|---|---|',
    ...models.map(
      (model) =>
        `| \`${model.name}\` | ${showParameters(model.parameters)} | ${model.norm?.toPrecision(6) ?? '–'} | ${percent(model.trimmed)} |`,
    ),
    '',
    `Parameters of the merge: ${showParameters(report.parameters)}.`,
  ];
  for (const { name, ...settings } of report.modifiers ?? []) {
    lines.push(`Modifier \`${name}\`: ${showParameters(settings)}.`);
  }
  if (report.sign_conflicts !== undefined) {
    lines.push(`Entries whose surviving task vectors disagree in sign: ${percent(report.sign_conflicts)}.`);
  }
  lines.push(...describeAdapter(report), ...describeTuning(report), ...describeTasks(report.tasks ?? []));
  lines.push(
    '',
    '`recipe.json` holds the full recipe with the SHA-256 of every input, `report.json` what the merge found tensor by tensor.',
  );
  if (plan.heads.length > 0) {
    lines.push('`heads/` holds what was not merged, one file for each model that has any.');
  }
  if (plan.masks.length > 0) {
    lines.push(
      '`masks/` holds a mask and a rescaler for each model; with the base they rebuild its task from the result.',
    );
  }
  return `${lines.join('\n')}\n`;
}

function describeAdapter({ adapter }: Report): string[] {
  if (adapter === undefined) return [];
  const { kept, modules } = adapter;
  const ranks = [...new Set(modules.map(({ rank }) => rank))].sort((a, b) => a - b);
  const lines = ['', `A LoRA adapter of ${modules.length} modules, of rank ${ranks.join(', ')}.`];
  if (kept !== undefined) lines.push(`It keeps ${percent(kept)} of the squared norm of what it stands for.`);
  return lines;
}

function describeTuning({ tuning, coefficients, loss = [] }: Report): string[] {
  if (tuning === undefined || coefficients === undefined) return [];
  const rows = coefficients.values.length;
  const steps = `${tuning.steps} step${tuning.steps === 1 ? '' : 's'}`;
  const course = `from ${loss[0]?.toFixed(4) ?? '–'} to ${loss.at(-1)?.toFixed(4) ?? '–'}`;
  const each =
    coefficients.tensors[0] === '*' ? 'one for each model' : `one for each of ${rows} tensors and each model`;
  return [
    '',
    '## Coefficients',
    '',
    `Learned in ${steps}, ${each}; the loss went ${course}.`,
    '',
    '| model | mean | least | largest |',
    '|---|---|---|---|',
    ...summarizeCoefficients(coefficients).map(
      ({ model, ...numbers }) => `| \`${model}\` | ${Object.values(numbers).map(showNumber).join(' | ')} |`,
    ),
  ];
}

function describeTasks(tasks: readonly TaskReport[]): string[] {
  if (tasks.length === 0) return [];
  return [
    '',
    '## Tasks',
    '',
    "Accuracy, and mean entropy of the predictions in nats. Individual: the task's own model.",
    '',
    '| task | model | rows | merged | individual | base |',
    '|---|---|---|---|---|---|',
    ...tasks.map(
      ({ name, model, rows, entropy, accuracy, individual, base }) =>
        `| ${name} | \`${model}\` | ${rows} | ${[{ entropy, accuracy }, individual, base].map(showScore).join(' | ')} |`,
    ),
  ];
}

function showScore(score: Score | null): string {
  if (score === null) return '–';
  return `${percent(score.accuracy ?? undefined)}, ${score.entropy === null ? '–' : showNumber(score.entropy)}`;
}

function showNumber(value: number): string {
  return value.toFixed(4);
}

function showParameters(parameters: Record<string, unknown> | undefined): string {
  const entries = Object.entries(parameters ?? {});
  return entries.length === 0
    ? '–'
    : entries
        .map(([key, value]) => `${key} ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`)
        .join(', ');
}

function percent(share: number | undefined): string {
  return share === undefined ? '–' : `${(100 * share).toFixed(2)} %`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}
