import type { FolderSource } from '@amalgam/storage';
import type { GraphReading, GraphThreadData } from './graph-thread.js';
import { readInThread } from './reading-thread.js';

/** More than the messages of any file that the reader takes. */
const MAX_HEAP_MB = 2048;
/** A file this small is fetched at once; of larger ones only what is no weight, piece by piece. */
const AT_ONCE_BYTES = 8 << 20;
/** Others wait meanwhile; the largest files that there are take seconds. */
const LIMIT_MS = 120_000;

/**
 * Checks and describes an ONNX file without its weights, wherever it lies. In a thread, since a large graph takes seconds
 * without a pause.
 *
 * @throws AmalgamError `invalid_graph`, `unsupported_graph`; `unavailable` when it takes too long; what reading throws
 */
export async function readGraph(source: FolderSource, name: string, limitMs: number = LIMIT_MS): Promise<GraphReading> {
  const size = await source.size();
  const data: GraphThreadData = { name, size };
  let whole: Promise<Uint8Array> | undefined;
  const read = async (_: string, offset: number, length: number) => {
    if (size > AT_ONCE_BYTES) return source.read(offset, length);
    whole ??= source.read(0, size);
    return (await whole).subarray(offset, offset + length);
  };
  const program = new URL('../dist/graph-thread.js', import.meta.url);
  return readInThread({ program, name, data, read, invalid: 'invalid_graph', maxHeapMb: MAX_HEAP_MB, limitMs });
}
