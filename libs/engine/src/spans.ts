import type { Span } from './job.js';

/**
 * Cuts tensors into tasks of about `target` elements. Spans begin at multiples of the chunk, so that statistics do not depend
 * on how tasks were cut; small tensors share a task, `mostSpans` at most.
 */
export function toTasks(
  tensors: { index: number; elements: number }[],
  chunkElements: number,
  target: number,
  mostSpans = Number.POSITIVE_INFINITY,
): Span[][] {
  const step = Math.max(1, Math.floor(target / chunkElements)) * chunkElements;
  const tasks: Span[][] = [];
  let task: Span[] = [];
  let size = 0;
  const flush = () => {
    if (task.length > 0) tasks.push(task);
    task = [];
    size = 0;
  };
  for (const { index, elements } of tensors) {
    for (let start = 0; start < elements; start += step) {
      const count = Math.min(step, elements - start);
      if (size > 0 && (size + count > step || task.length >= mostSpans)) flush();
      task.push({ tensor: index, start, count });
      size += count;
    }
  }
  flush();
  return tasks;
}

/** Elements of a list of spans. */
export function countElements(spans: Span[]): number {
  return spans.reduce((sum, span) => sum + span.count, 0);
}

const SAMPLE_LENGTH = 2048;
const MOST_SAMPLES = 512;
const FEWEST_SAMPLES = 16;
/** A larger share costs more than the narrower window saves. */
const SAMPLE_SHARE = 1 / 24;

/** A sample of the tensors: runs of elements at even distances over all of them, or everything when that is not more. */
export function sample(tensors: { index: number; elements: number }[]): Span[] {
  const total = tensors.reduce((sum, tensor) => sum + tensor.elements, 0);
  const wanted = Math.ceil((total * SAMPLE_SHARE) / SAMPLE_LENGTH);
  const runs = Math.min(MOST_SAMPLES, Math.max(FEWEST_SAMPLES, wanted));
  if (total <= runs * SAMPLE_LENGTH) {
    return tensors.map(({ index, elements }) => ({ tensor: index, start: 0, count: elements }));
  }
  const spans: Span[] = [];
  let passed = 0;
  let next = 0;
  for (const { index, elements } of tensors) {
    while (next < runs) {
      const start = Math.floor((next * total) / runs) - passed;
      if (start >= elements) break;
      spans.push({ tensor: index, start, count: Math.min(SAMPLE_LENGTH, elements - start) });
      next++;
    }
    passed += elements;
  }
  return spans;
}
