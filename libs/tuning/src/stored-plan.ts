import type { MergePlan } from '@amalgam/engine';
import type { StoredCheckpoint, StoredTensor } from './stored.js';

/** A plan's inputs as they lie in files on this machine. */
export function storedInputs(
  plan: MergePlan,
  pathOf: (input: number, file: string) => string,
): { base: StoredCheckpoint | null; models: StoredCheckpoint[] } {
  const stored = plan.inputs.map(({ reference, checkpoint }, input): StoredCheckpoint => {
    const tensors = [...checkpoint.tensors.values()].map(({ name, dtype, shape, file, begin }): StoredTensor => {
      return { name, dtype, shape, path: pathOf(input, file), begin };
    });
    return toCheckpoint(reference, tensors);
  });
  const [base] = stored;
  return plan.hasBase ? { base: base!, models: stored.slice(1) } : { base: null, models: stored };
}

/** The merged tensors of a plan's result as they lie in files on this machine. */
export function storedResult(plan: MergePlan, pathOf: (file: string) => string): StoredCheckpoint {
  const tensors = plan.merged.map(({ name, dtype, shape, file, begin }): StoredTensor => {
    return { name, dtype, shape, path: pathOf(plan.files[file]!.path), begin };
  });
  return toCheckpoint('the result', tensors);
}

/** Without a prototype: a tensor may have any name. */
function toCheckpoint(name: string, tensors: readonly StoredTensor[]): StoredCheckpoint {
  const byName = Object.create(null) as Record<string, StoredTensor>;
  for (const tensor of tensors) byName[tensor.name] = tensor;
  return { name, tensors: byName };
}
