import type { Plan } from '@amalgam/contracts';
import type { MergePlan, TuningPlan } from './types.js';

/** The plan as the API and the CLI show it. Seconds assume about a gigabyte a second of reading and writing on each thread. */
export function describePlan(plan: MergePlan): Plan {
  const BYTES_PER_SECOND = 1e9;
  const { tuning } = plan;
  const bytesRead = plan.bytesRead + (tuning?.bytesRead ?? 0);
  const written = plan.bytesWritten + (tuning?.vectorBytes ?? 0);
  return {
    object: 'plan',
    method: plan.recipe.method,
    recipe: plan.recipe,
    tensors: { merged: plan.merged.length, copied: plan.copied.length, heads: plan.heads.length },
    parameters: plan.merged.reduce((sum, tensor) => sum + tensor.elements, 0),
    bytes_read: bytesRead,
    bytes_written: plan.bytesWritten,
    memory_bytes: plan.memoryBytes,
    seconds: round(0.2 + (bytesRead + 2 * written) / (BYTES_PER_SECOND * plan.threads)),
    ...(tuning === null ? {} : { tuning: describeTuning(plan, tuning) }),
    files: plan.files.map(({ path, bytes, tensors }) => ({ path, bytes, tensors })),
    warnings: plan.warnings,
  };
}

function describeTuning(plan: MergePlan, { settings, rows, vectorBytes }: TuningPlan): Plan['tuning'] {
  return {
    steps: settings.steps,
    coefficients: rows * plan.recipe.models.length,
    task_vector_bytes: vectorBytes,
  };
}

function round(seconds: number): number {
  return Math.round(seconds * 10) / 10;
}
