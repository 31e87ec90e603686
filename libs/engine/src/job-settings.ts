import { getMethod, type MergeMethod, type Settings, type Sparsify } from '@amalgam/methods';
import type { Job } from './job.js';

/** What is kept of task vectors under each of the settings; null: everything. */
export function sparsifyEach(method: MergeMethod, settings: readonly Settings[]): (Sparsify | null)[] {
  return settings.map((own) => method.sparsify?.(own) ?? null);
}

/** By tensor of a job. */
export function sparsifyByTensor({ method, settings, tensors }: Job): (Sparsify | null)[] {
  const each = sparsifyEach(getMethod(method), settings);
  return tensors.map((tensor) => each[tensor.settings]!);
}
