import type { Span } from './job.js';

/**
 * Cuts tensors into tasks of about `target` elements. Spans begin at multiples of the chunk, so that statistics do not depend
 * on how tasks were cut; small tensors share a task.
 */
export function toTasks(
  tensors: { index: number; elements: number }[],
  chunkElements: number,
  target: number,
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
      if (size > 0 && size + count > step) flush();
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

/**
 * A spread sample of the tensors: `blocks` runs of `length` elements at even distances over all elements, or everything when
 * that is not more.
 */
export function sample(tensors: { index: number; elements: number }[], blocks: number, length: number): Span[] {
  const total = tensors.reduce((sum, tensor) => sum + tensor.elements, 0);
  if (total <= blocks * length)
    return tensors.map(({ index, elements }) => ({ tensor: index, start: 0, count: elements }));
  const spans: Span[] = [];
  let passed = 0;
  let next = 0;
  for (const { index, elements } of tensors) {
    while (next < blocks) {
      const start = Math.floor((next * total) / blocks) - passed;
      if (start >= elements) break;
      spans.push({ tensor: index, start, count: Math.min(length, elements - start) });
      next++;
    }
    passed += elements;
  }
  return spans;
}
