import type { Task } from './job.js';
import type { CopiedTensor, MergePlan } from './types.js';

/** Bytes that a task writes, about. */
const TASK_BYTES = 64 * 2 ** 20;

type CopyTask = Extract<Task, { kind: 'copy' }>;
type MakeTask = Extract<Task, { kind: 'make' }>;

/** What writes the tensors of an output file that are not merged: copies of bytes, and tensors that no file has as they are. */
export function toCopyTasks(
  plan: MergePlan,
  file: number,
  output: string,
  inputIndex: (input: number, file: string) => number,
): Task[] {
  const tasks: CopyTask[] = [];
  const made: MakeTask[] = [];
  let size = Number.POSITIVE_INFINITY;
  for (const [copy, tensor] of [...plan.copied, ...plan.heads].entries()) {
    if (tensor.file !== file || tensor.bytes === 0) continue;
    const { from, begin, bytes } = tensor;
    if (from.kind !== 'stored') {
      made.push(...toMakeTasks(tensor, copy, output));
      continue;
    }
    if (size + bytes > TASK_BYTES) {
      tasks.push({ kind: 'copy', output, pieces: [] });
      size = 0;
    }
    const input = inputIndex(from.input, from.file);
    tasks.at(-1)!.pieces.push({ input, from: from.begin, to: begin, bytes });
    size += bytes;
  }
  return [...tasks, ...made];
}

function toMakeTasks({ elements, bytes, dtype, begin }: CopiedTensor, copy: number, output: string): MakeTask[] {
  const step = Math.max(1, Math.floor(TASK_BYTES / (bytes / elements)));
  const tasks: MakeTask[] = [];
  for (let from = 0; from < elements; from += step) {
    tasks.push({ kind: 'make', output, copy, dtype, begin, from, to: Math.min(elements, from + step) });
  }
  return tasks;
}
