import { AmalgamError } from '@amalgam/contracts';
import { type JobThread, type Kernels, serveJobs } from '@amalgam/kernels';
import type { ModuleReport } from '../plan.js';
import { Extractor } from './extract.js';
import type { Job, JobModule, Task, TaskValue } from './job.js';
import { addFactors, concatenate, type Factors, toFactors, truncateSum } from './sums.js';
import { TensorIo } from './tensor-io.js';

/** One thread of the writing of an adapter: runs tasks one at a time. */
class AdapterThread implements JobThread<Task> {
  readonly #job: Job;
  readonly #io: TensorIo;
  readonly #extractor: Extractor | null;
  readonly #progress: BigUint64Array;
  readonly #stop: Int32Array;

  constructor(job: Job, kernels: Kernels) {
    this.#job = job;
    this.#progress = new BigUint64Array(job.progress);
    this.#stop = new Int32Array(job.stop);
    this.#io = new TensorIo(kernels, (bytes) => this.#advance(bytes));
    const extracts = job.modules.some(({ work }) => work.kind === 'extract');
    this.#extractor = extracts ? new Extractor(job, kernels, this.#io) : null;
  }

  perform(task: Task): TaskValue {
    this.#advance(0);
    switch (task.kind) {
      case 'module':
        return this.#writeModule(this.#job.modules[task.index] as JobModule);
      case 'copy':
        this.#io.copy(task, this.#job.output);
        return null;
      case 'digest':
        return this.#io.digest(task.path);
    }
  }

  close(): void {
    this.#io.close();
  }

  #writeModule(module: JobModule): ModuleReport {
    const { output, dtype } = this.#job;
    const { factors, kept, squares } = this.#makeFactors(module);
    this.#io.write(output, module.a, dtype, factors.a);
    this.#io.write(output, module.b, dtype, factors.b);
    return { module: module.module, rank: module.rank, kept, squares };
  }

  #makeFactors(module: JobModule): { factors: Factors; kept: number | null; squares: number | null } {
    const { work } = module;
    switch (work.kind) {
      case 'concatenate':
        return { factors: concatenate(this.#io, module, work.terms), kept: 1, squares: null };
      case 'add factors':
        return { factors: addFactors(this.#io, module, work.terms), kept: null, squares: null };
      case 'truncate': {
        const { left, right, kept, squares } = truncateSum(this.#io, module, work.terms);
        return { factors: toFactors(right, left, module), kept, squares };
      }
      case 'extract': {
        if (this.#extractor === null) throw new TypeError('extraction needs an extractor');
        const { left, right, kept, squares } = this.#extractor.extract(module, work);
        const [a, b] = work.transposed ? [left, right] : [right, left];
        return { factors: toFactors(a, b, module), kept, squares };
      }
    }
  }

  #advance(bytes: number): void {
    Atomics.add(this.#progress, 0, BigInt(bytes));
    if (Atomics.load(this.#stop, 0) !== 0) throw new AmalgamError('canceled', 'the merge was canceled');
  }
}

serveJobs((job: Job, kernels) => new AdapterThread(job, kernels));
