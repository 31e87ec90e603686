import { createHash } from 'node:crypto';
import { readSync } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { AmalgamError, toPlain } from '@amalgam/contracts';
import { Kernels } from '@amalgam/kernels';
import { BLOCK, getMethod } from '@amalgam/methods';
import { Files } from './files.js';
import type { Cut, Job, Result, ScanResult, Span, SpanStatistics, Task, Window } from './job.js';
import { SpanReader } from './span-reader.js';

/** One thread of a merge: runs tasks one at a time, with buffers that are laid out once. */

const job = workerData as Job;
const kernels = new Kernels();
const { ops } = kernels;
const files = new Files(job.inputs);
const reader = new SpanReader(job, kernels, files);
const method = getMethod(job.method);
const weights = kernels.allocate(job.models * 4);
const out = kernels.allocate(BLOCK * 4);
const progress = new BigUint64Array(job.progress);
const stop = new Int32Array(job.stop);

kernels
  .floats(weights, job.settings.models.length)
  .set(job.settings.models.map((model) => Number(model['weight'] ?? 1)));

export default async function run(task: Task): Promise<Result<unknown>> {
  try {
    return { ok: true, value: perform(task) };
  } catch (error) {
    return { ok: false, error: toPlain(error) };
  }
}

function perform(task: Task): unknown {
  switch (task.kind) {
    case 'scan':
      return scan(task.spans, task.windows);
    case 'locate':
      return locate(task.spans, task.model, task.key, task.nth);
    case 'merge':
      return task.spans.map((span, i) => merge(span, task.output, task.cuts?.[i] ?? null));
    case 'copy':
      for (const piece of task.pieces) copy(task.output, piece);
      return null;
    case 'digest':
      return digest(task.path);
  }
}

/** Called once a chunk: a canceled merge stops here. */
function advance(bytes: number): void {
  if (Atomics.load(stop, 0) !== 0) throw new AmalgamError('canceled', 'the merge was canceled');
  Atomics.add(progress, 0, BigInt(bytes));
}

let histogramArea = { pointer: 0, words: 0 };

function scan(spans: Span[], windows: (Window | null)[]): ScanResult {
  const words = windows.reduce((sum, window) => sum + (window?.bins ?? 0), 0);
  if (words > histogramArea.words) histogramArea = { pointer: kernels.allocate(words * 4), words };
  kernels.words(histogramArea.pointer, words).fill(0);
  let next = histogramArea.pointer;
  const places = windows.map((window) => {
    const place = next;
    next += (window?.bins ?? 0) * 4;
    return place;
  });

  const above = windows.map(() => 0);
  for (const span of spans) {
    const isRaw = windows.map((window, model) => window !== null && reader.isRawPair(span, model));
    const wanted = windows.map((window) => window !== null);
    const blockwise = windows.some((window, model) => window !== null && !isRaw[model]);
    reader.forEachChunk(span, wanted, (chunk) => {
      windows.forEach((window, model) => {
        if (window === null || !isRaw[model]) return;
        const { low, high, shift, common } = window;
        const pair = chunk.rawPair(model);
        above[model]! += ops.countDifferencesBF16(
          pair.model,
          pair.base,
          pair.n,
          low,
          high,
          shift,
          places[model]!,
          common,
        );
      });
      if (blockwise) {
        chunk.forEachBlock((block) => {
          windows.forEach((window, model) => {
            if (window === null || isRaw[model]) return;
            const { low, high, shift, common } = window;
            above[model]! += ops.countMagnitudes(block.at(model), block.n, low, high, shift, places[model]!, common);
          });
        });
      }
      advance(chunk.bytesRead);
    });
  }
  return {
    above,
    histograms: windows.map((window, model) => window && kernels.words(places[model]!, window.bins).slice()),
  };
}

function locate(spans: Span[], model: number, key: number, nth: number): { tensor: number; tieEnd: number } {
  const wanted = job.settings.models.map((_, i) => i === model);
  let left = nth;
  let found: { tensor: number; tieEnd: number } | undefined;
  for (const span of spans) {
    let index = span.start;
    reader.forEachChunk(span, wanted, (chunk) => {
      if (found !== undefined) return;
      chunk.forEachBlock((block) => {
        if (found !== undefined) return;
        const here = ops.countEqual(block.at(model), block.n, key);
        if (here >= left) {
          found = { tensor: span.tensor, tieEnd: index + ops.findEqual(block.at(model), block.n, key, left) };
        }
        left -= here;
        index += block.n;
      });
      advance(0);
    });
    if (found !== undefined) return found;
  }
  throw new AmalgamError('checkpoint_changed', 'an input changed while it was merged: entries counted before are gone');
}

function merge(span: Span, output: string, cuts: Cut[] | null): SpanStatistics {
  const tensor = job.tensors[span.tensor]!;
  const overVectors = method.inputs === 'task_vectors';
  const statistics: SpanStatistics = { squares: [], kept: tensor.models.map(() => 0), conflicts: 0 };
  reader.forEachChunk(span, 'all', (chunk) => {
    const leaves = tensor.models.map((): number[] => []);
    chunk.forEachBlock((block) => {
      for (let model = 0; model < block.count; model++) {
        const data = block.at(model);
        if (overVectors) leaves[model]!.push(ops.sumSquares(data, block.n));
        if (cuts !== null) statistics.kept[model]! += trim(data, block.index, block.n, cuts[model]!);
      }
      statistics.conflicts += method.combine(
        {
          kernels,
          n: block.n,
          base: block.base,
          models: block.models,
          stride: block.stride,
          count: block.count,
          weights,
          out,
        },
        job.settings,
      );
      kernels.narrow(tensor.dtype, out, chunk.outAt(block), block.n);
    });
    if (overVectors) statistics.squares.push(leaves.map((list) => reader.reduce(list)));
    files.write(output, chunk.outBytes(), tensor.begin + chunk.start * chunk.outWidth);
    advance(chunk.bytesRead + chunk.outBytes().length);
  });
  return statistics;
}

/** Trims a block whose first entry has index `index` in its tensor: ties are kept below the cut's `tieEnd`. */
function trim(data: number, index: number, n: number, { key, tieEnd }: Cut): number {
  const ties = Math.min(Math.max(tieEnd - index, 0), n);
  // Rarely both parts are there: only in the one block where the ties end.
  const kept = ties > 0 ? ops.trim(data, ties, key - 1) : 0;
  return ties < n ? kept + ops.trim(data + ties * 4, n - ties, key) : kept;
}

function copy(output: string, piece: { input: number; from: number; to: number; bytes: number }): void {
  const size = reader.copyBytes;
  for (let done = 0; done < piece.bytes; done += size) {
    const length = Math.min(size, piece.bytes - done);
    const bytes = reader.copyBuffer(length);
    files.read(piece.input, bytes, piece.from + done);
    files.write(output, bytes, piece.to + done);
    advance(2 * length);
  }
}

function digest(path: string): string {
  const hash = createHash('sha256');
  const bytes = reader.copyBuffer(reader.copyBytes);
  const fd = files.openForReading(path);
  for (let position = 0; ; ) {
    const length = readSync(fd, bytes, 0, bytes.length, position);
    if (length === 0) return hash.digest('hex');
    hash.update(bytes.subarray(0, length));
    position += length;
    advance(0);
  }
}
