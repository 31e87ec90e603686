import type { AdapterPlan } from '@amalgam/adapters';
import type { Plan } from '@amalgam/contracts';
import { countAdapter } from './adapter-result.js';
import type { MergePlan, TuningPlan } from './types.js';

/** The plan as the API and the CLI show it. Seconds assume about a gigabyte a second of reading and writing on each thread. */
export function describePlan(plan: MergePlan): Plan {
  const BYTES_PER_SECOND = 1e9;
  const { tuning, adapter } = plan;
  const bytesRead = plan.bytesRead + (tuning?.bytesRead ?? 0);
  const written = plan.bytesWritten + (tuning?.vectorBytes ?? 0);
  return {
    object: 'plan',
    method: plan.recipe.method,
    recipe: plan.recipe,
    ...(adapter === null ? countMerged(plan) : countFactors(adapter)),
    bytes_read: bytesRead,
    bytes_written: plan.bytesWritten,
    memory_bytes: plan.memoryBytes,
    seconds: round(0.2 + (bytesRead + 2 * written) / (BYTES_PER_SECOND * plan.threads)),
    ...(tuning === null ? {} : { tuning: describeTuning(plan, tuning) }),
    files: plan.files.map(({ path, bytes, tensors }) => ({ path, bytes, tensors })),
    warnings: plan.warnings,
  };
}

function countMerged({ merged, copied, heads }: MergePlan): Pick<Plan, 'tensors' | 'parameters'> {
  return {
    tensors: { merged: merged.length, copied: copied.length, heads: heads.length },
    parameters: merged.reduce((sum, tensor) => sum + tensor.elements, 0),
  };
}

function countFactors(adapter: AdapterPlan): Pick<Plan, 'tensors' | 'parameters'> {
  const { merged, parameters } = countAdapter(adapter);
  return { tensors: { merged, copied: adapter.whole.length, heads: 0 }, parameters };
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
