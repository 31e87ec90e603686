import { reducePairwise } from '@amalgam/kernels';
import { type Gram, getMethod } from '@amalgam/methods';
import { allOrFirstFailure } from './gather.js';
import type { Job, Span } from './job.js';
import type { RunTask } from './search.js';
import { toTasks } from './spans.js';

/** Elements and tensors that a task covers, as in gather.ts. */
const TASK_ELEMENTS = 2 ** 21;
const TASK_SPANS = 2 ** 12;

/** The pairs of models whose inner products are formed, a model with itself among them. */
export function pairsOf(models: number): [number, number][] {
  return Array.from({ length: models }, (_, j) =>
    Array.from({ length: j + 1 }, (_, i): [number, number] => [i, j]),
  ).flat();
}

/**
 * Measures the inner products of every tensor's inputs in one pass, and asks the method for the coefficients that follow. Sums go over
 * a fixed tree in float64, so coefficients do not depend on threads or chunks. Null for methods that need none.
 *
 * @throws AmalgamError what the method's `blend` throws.
 */
export async function findBlends(job: Job, run: RunTask): Promise<number[][] | null> {
  const method = getMethod(job.method);
  if (method.blend === undefined) return null;
  const tensors = job.tensors.map(({ elements }, index) => ({ index, elements }));
  const chunks: number[][][] = tensors.map(() => []);
  const tasks = toTasks(tensors, job.chunkElements, TASK_ELEMENTS, TASK_SPANS).map(async (spans: Span[]) => ({
    spans,
    parts: await run<number[][][]>({ kind: 'products', spans }),
  }));
  for (const { spans, parts } of await allOrFirstFailure(tasks)) {
    spans.forEach((span, i) => {
      chunks[span.tensor]!.push(...parts[i]!);
    });
  }
  return job.tensors.map(({ name, models, settings }, index) => {
    const count = models.length;
    const sums = pairsOf(count).map((_, at) => reducePairwise(chunks[index]!.map((chunk) => chunk[at]!)));
    if (!sums.every(Number.isFinite)) return new Array<number>(count).fill(Number.NaN);
    return method.blend!(toGram(count, sums), job.settings[settings]!, name);
  });
}

function toGram(size: number, sums: number[]): Gram {
  const place = (i: number, j: number) => (j * (j + 1)) / 2 + i;
  return { size, dot: (i, j) => sums[i <= j ? place(i, j) : place(j, i)]! };
}
