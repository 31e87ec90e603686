import { type Found, getMethod, type MergeMethod } from '@amalgam/methods';
import { allOrFirstFailure } from './gather.js';
import type { Job, MaskOutput } from './job.js';
import { withPaths } from './layout.js';
import { createFile, patchFile } from './output-file.js';
import type { RunTask } from './search.js';
import { toTasks } from './spans.js';
import type { MergePlan, OutputFile } from './types.js';

/** Elements that a task covers, as in gather.ts. */
const TASK_ELEMENTS = 2 ** 21;
const TASK_SPANS = 2 ** 12;

/** The mask files of a method that leaves masks: one for each of the recipe's models. */
export function placeMasks(
  { masks }: MergeMethod,
  models: readonly { name: string }[],
): { path: string; model: number; number: string }[] {
  if (masks === undefined) return [];
  return withPaths(
    'masks',
    models.map(({ name }, model) => ({ name, model, number: masks.name })),
  );
}

/** What a method says that goes with each model's mask; null for methods without masks. */
export function rescalersOf(plan: MergePlan, found: Found[][] | null): number[] | null {
  const { masks } = getMethod(plan.recipe.method);
  // Found for all merged tensors alike.
  const own = found?.find((surveys) => surveys.length > 0);
  return masks === undefined || own === undefined ? null : masks.rescalers(own);
}

/** Mask files that are being written: what is told to tasks. */
export interface OpenMasks {
  outputs: MaskOutput[];
  /** By tensor and output: where the tensor's mask begins. */
  begins(tensor: number): number[];
}

/** Makes the plan's mask files with these indices, their masks not written yet; null where there are none. */
export async function createMasks(
  plan: MergePlan,
  indices: number[],
  pathOf: (file: OutputFile) => string,
  found: Found[][] | null,
): Promise<OpenMasks | null> {
  const masks = plan.masks.filter(({ file }) => indices.includes(file));
  const outputs = masks.map(({ file, model }) => ({ path: pathOf(plan.files[file]!), model }));
  const rescalers = rescalersOf(plan, found) ?? [];
  for (const [i, mask] of masks.entries()) {
    const { path } = outputs[i]!;
    await createFile(path, plan.files[mask.file]!);
    await patchFile(path, float32Bytes(rescalers[mask.model] ?? 1), mask.number);
  }
  const begins = (tensor: number) => masks.map((mask) => mask.begins[tensor]!);
  return masks.length === 0 ? null : { outputs, begins };
}

/** Writes the masks of tensors that are not merged any more, as the others' are while they are merged. */
export async function writeMasks(
  { outputs, begins }: OpenMasks,
  indices: number[],
  job: Job,
  found: Found[][],
  run: RunTask,
): Promise<void> {
  const tensors = indices.map((index) => ({ index, elements: job.tensors[index]!.elements }));
  const work = toTasks(tensors, job.chunkElements, TASK_ELEMENTS, TASK_SPANS).map((spans) =>
    run<null>({
      kind: 'masks',
      spans,
      outputs,
      begins: spans.map(({ tensor }) => begins(tensor)),
      found: spans.map(({ tensor }) => found[tensor]!),
    }),
  );
  await allOrFirstFailure(work);
}

function float32Bytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return bytes;
}
