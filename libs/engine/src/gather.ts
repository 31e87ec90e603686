import type { Band, Job, Span, SpanStatistics, Task } from './job.js';
import { sparsifyByTensor } from './job-settings.js';
import type { TensorStatistics } from './report.js';
import type { RunTask } from './search.js';
import { toTasks } from './spans.js';
import type { Bands } from './trim.js';

/** Elements that a task covers: some tens of milliseconds. */
const TASK_ELEMENTS = 2 ** 21;
/** Tensors that a task covers: what it tells and reports of each must fit into a thread's heap. */
const TASK_SPANS = 2 ** 12;

/** Runs a task over every span of the tensors, whose places in the plan `indices` gives, and gathers what it finds of each. */
export async function overTensors(
  job: Job,
  indices: number[],
  bands: Bands | null,
  run: RunTask,
  toTask: (spans: Span[], bands: Band[][] | null) => Task,
): Promise<TensorStatistics[]> {
  const tensors = indices.map((index) => ({ index, elements: job.tensors[index]!.elements }));
  const sparsify = sparsifyByTensor(job);
  const gathered = new Map<number, SpanStatistics[]>();
  const tasks = toTasks(tensors, job.chunkElements, TASK_ELEMENTS, TASK_SPANS).map(async (spans) => {
    const spanBands = bands === null ? null : spans.map((span) => bands.byTensor[span.tensor]!);
    return { spans, parts: await run<SpanStatistics[]>(toTask(spans, spanBands)) };
  });
  for (const { spans, parts } of await allOrFirstFailure(tasks)) {
    spans.forEach((span, i) => {
      const list = gathered.get(span.tensor) ?? [];
      list.push(parts[i]!);
      gathered.set(span.tensor, list);
    });
  }
  return tensors.map(({ index, elements }) => {
    const { name, models } = job.tensors[index]!;
    const parts = gathered.get(index) ?? [];
    return {
      name,
      elements,
      squares: models.map((_, m) => parts.flatMap((part) => part.squares.map((chunk) => chunk[m]!))),
      kept: sparsify[index] === null ? null : models.map((_, m) => sum(parts.map((part) => part.kept[m]!))),
      conflicts: sum(parts.map((part) => part.conflicts)),
    };
  });
}

/** Waits for all, also when one fails: nothing is written any more once the failure is told. */
export async function allOrFirstFailure<T>(work: Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, x) => total + x, 0);
}
