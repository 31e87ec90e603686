import type { TensorHistogram, TensorInfo } from '@amalgam/contracts';
import type { FolderView } from '@amalgam/storage';
import type { HistogramThreadData } from './histogram-thread.js';
import { readInThread } from './reading-thread.js';

const MAX_HEAP_MB = 512;
const LIMIT_MS = 60_000;

/**
 * How a tensor's values are spread, worked out in a thread from at most 64 MiB of it.
 *
 * @throws AmalgamError `checkpoint_changed` and what else reading throws; `unavailable` when it takes more than a minute
 */
export function readHistogram(
  folder: Pick<FolderView, 'source'>,
  tensor: TensorInfo,
  bins: number,
): Promise<TensorHistogram> {
  const source = folder.source(tensor.file);
  const data: HistogramThreadData = { tensor, bins };
  return readInThread({
    program: new URL('../dist/histogram-thread.js', import.meta.url),
    name: tensor.name,
    data,
    read: (_file, offset, length) => source.read(offset, length),
    invalid: 'invalid_checkpoint',
    maxHeapMb: MAX_HEAP_MB,
    limitMs: LIMIT_MS,
  });
}
