import { workerData } from 'node:worker_threads';
import { AmalgamError, toPlain } from '@amalgam/contracts';
import { Kernels } from '@amalgam/kernels';
import type { ModuleReport } from '../plan.js';
import { Extractor } from './extract.js';
import type { Job, JobModule, Result, Task, TaskValue } from './job.js';
import { addFactors, concatenate, type Factors, toFactors, truncateSum } from './sums.js';
import { TensorIo } from './tensor-io.js';

/** One thread of the writing of an adapter: runs tasks one at a time. */

const job = workerData as Job;
const kernels = new Kernels();
const progress = new BigUint64Array(job.progress);
const stop = new Int32Array(job.stop);
const io = new TensorIo(kernels, advance);
const extractor = job.modules.some(({ work }) => work.kind === 'extract') ? new Extractor(job, kernels, io) : null;

export default async function run(task: Task): Promise<Result> {
  try {
    return { ok: true, value: perform(task) };
  } catch (error) {
    return { ok: false, error: toPlain(error) };
  }
}

function perform(task: Task): TaskValue {
  advance(0);
  switch (task.kind) {
    case 'module':
      return writeModule(job.modules[task.index] as JobModule);
    case 'copy':
      io.copy(task, job.output);
      return null;
    case 'digest':
      return io.digest(task.path);
  }
}

function writeModule(module: JobModule): ModuleReport {
  const { factors, kept, squares } = makeFactors(module);
  io.write(job.output, module.a, job.dtype, factors.a);
  io.write(job.output, module.b, job.dtype, factors.b);
  return { module: module.module, rank: module.rank, kept, squares };
}

function makeFactors(module: JobModule): { factors: Factors; kept: number | null; squares: number | null } {
  const { work } = module;
  switch (work.kind) {
    case 'concatenate':
      return { factors: concatenate(io, module, work.terms), kept: 1, squares: null };
    case 'add factors':
      return { factors: addFactors(io, module, work.terms), kept: null, squares: null };
    case 'truncate': {
      const { left, right, kept, squares } = truncateSum(io, module, work.terms);
      return { factors: toFactors(right, left, module), kept, squares };
    }
    case 'extract': {
      if (extractor === null) throw new TypeError('extraction needs an extractor');
      const { left, right, kept, squares } = extractor.extract(module, work);
      const [a, b] = work.transposed ? [left, right] : [right, left];
      return { factors: toFactors(a, b, module), kept, squares };
    }
  }
}

function advance(bytes: number): void {
  Atomics.add(progress, 0, BigInt(bytes));
  if (Atomics.load(stop, 0) !== 0) throw new AmalgamError('canceled', 'the merge was canceled');
}
