import { reducePairwise } from '@amalgam/kernels';
import { type Gram, getMethod, type MergeMethod, type Settings } from '@amalgam/methods';
import { allOrFirstFailure } from './gather.js';
import type { Job, JobTensor, Span } from './job.js';
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

/** What a method on norms and angles takes for one vector under each of the settings. */
export function blendScopes(method: MergeMethod, settings: readonly Settings[]): ('tensor' | 'row' | 'column')[] {
  return settings.map((own) => method.blendScope?.(own) ?? 'tensor');
}

/**
 * Measures the inner products of every tensor's inputs in one pass, and asks the method for the coefficients that follow: by model, or by
 * model and then column. Sums go over a fixed tree in float64, or along a column in the order of its entries, so coefficients do not depend
 * on threads or chunks. Null for methods that need none; empty for tensors whose coefficients are those of rows, which rows.ts finds.
 *
 * @throws AmalgamError what the method's `blend` throws.
 */
export async function findBlends(job: Job, run: RunTask): Promise<number[][] | null> {
  const method = getMethod(job.method);
  if (method.blend === undefined) return null;
  const scopes = blendScopes(method, job.settings);
  const scopeAt = (index: number) => scopes[job.tensors[index]!.settings]!;
  const blends: number[][] = job.tensors.map(() => []);
  const blend = (index: number, sums: number[]) => {
    const { name, models, settings } = job.tensors[index]!;
    if (!sums.every(Number.isFinite)) return models.map(() => Number.NaN);
    return method.blend!(toGram(models.length, sums), job.settings[settings]!, name);
  };

  const tensors = job.tensors.map(({ elements }, index) => ({ index, elements }));
  const whole = tensors.filter(({ index }) => scopeAt(index) === 'tensor');
  const chunks = new Map<number, number[][]>(whole.map(({ index }) => [index, []]));
  const tasks = toTasks(whole, job.chunkElements, TASK_ELEMENTS, TASK_SPANS).map(async (spans: Span[]) => ({
    spans,
    parts: await run<number[][][]>({ kind: 'products', spans }),
  }));
  const byColumn = tensors.filter(({ index, elements }) => scopeAt(index) === 'column' && elements > 0);
  const columnTasks = byColumn.map(async ({ index, elements }) => {
    const sums = await run<Float64Array>({ kind: 'columns', span: { tensor: index, start: 0, count: elements } });
    blends[index] = blendColumns(job.tensors[index]!, sums, (own) => blend(index, own));
  });
  for (const { spans, parts } of await allOrFirstFailure(tasks)) {
    spans.forEach((span, i) => {
      chunks.get(span.tensor)!.push(...parts[i]!);
    });
  }
  await allOrFirstFailure(columnTasks);
  for (const [index, parts] of chunks) {
    const pairs = pairsOf(job.tensors[index]!.models.length);
    blends[index] = blend(
      index,
      pairs.map((_, at) => reducePairwise(parts.map((chunk) => chunk[at]!))),
    );
  }
  return blends;
}

/** `sums`: by pair, then column. */
function blendColumns(
  { models, across }: JobTensor,
  sums: Float64Array,
  blend: (sums: number[]) => number[],
): number[] {
  const coefficients = new Array<number>(models.length * across);
  const pairs = sums.length / across;
  for (let column = 0; column < across; column++) {
    const own = blend(Array.from({ length: pairs }, (_, pair) => sums[pair * across + column]!));
    own.forEach((x, model) => {
      coefficients[model * across + column] = x;
    });
  }
  return coefficients;
}

/** From sums in the order of pairsOf. */
export function toGram(size: number, sums: number[]): Gram {
  const place = (i: number, j: number) => (j * (j + 1)) / 2 + i;
  return { size, dot: (i, j) => sums[i <= j ? place(i, j) : place(j, i)]! };
}
