import type { Report } from '@amalgam/contracts';
import { getMethod } from '@amalgam/methods';
import type { MergePlan } from './types.js';

/** README.md of a result: what it is, from what, how, and what the merge found. */
export function modelCard(plan: MergePlan, report: Report, name = 'Merged model'): string {
  const method = getMethod(plan.recipe.method);
  const models = report.inputs.filter((input) => input.role === 'model');
  const base = report.inputs.find((input) => input.role === 'base');
  const lines = [
    '---',
    'tags: [merge, amalgam]',
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
  if (report.sign_conflicts !== undefined) {
    lines.push(`Entries whose surviving task vectors disagree in sign: ${percent(report.sign_conflicts)}.`);
  }
  lines.push(
    '',
    '`recipe.json` holds the full recipe with the SHA-256 of every input, `report.json` what the merge found tensor by tensor.',
  );
  if (plan.heads.length > 0) {
    lines.push('`heads/` holds what was not merged, one file for each model that has any.');
  }
  return `${lines.join('\n')}\n`;
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
