import { open } from 'node:fs/promises';
import { fromPlain, isNoSpace, toPlain } from '@amalgam/contracts';
import { createPool } from '@amalgam/kernels';
import type { CheckpointTensor } from '@amalgam/tensors';
import type { AdapterPlan, ModuleReport, PlannedModule } from './plan.js';
import type { Job, JobModule, JobWork, Place, Task, TaskValue } from './work/job.js';

const PROGRESS_MS = 200;

export interface WriteAdapterOptions {
  /** Where adapter_model.safetensors goes; the file must not exist. */
  path: string;
  /** Local path of an input's file. */
  pathOf(input: number, file: string): string;
  /** Compute the SHA-256 of the file; default true. */
  digests?: boolean;
  /** Other files to compute the SHA-256 of. */
  digestFiles?: readonly string[];
  signal?: AbortSignal;
  onProgress?(bytesDone: number, bytesTotal: number): void;
}

export interface WrittenAdapter {
  bytes: number;
  sha256: string | null;
  modules: ModuleReport[];
  /** In the order of `digestFiles`. */
  digests: string[];
}

/**
 * Writes a planned adapter's tensors, one module after the other on each thread. The bytes depend on the inputs and the plan's
 * settings only, not on threads.
 *
 * @throws AmalgamError `canceled`, `storage_full`, `checkpoint_changed` (an input is shorter than its header said),
 * `invalid_checkpoint` (values that are not finite where singular values are asked for), `internal`
 */
export async function writeAdapter(plan: AdapterPlan, options: WriteAdapterOptions): Promise<WrittenAdapter> {
  await prepareFile(options.path, plan.layout.header, plan.layout.bytes);
  const job = toJob(plan, options);
  const flag = new Int32Array(job.stop);
  const stop = () => {
    Atomics.store(flag, 0, 1);
  };
  const pool = createPool<Task>({
    filename: new URL('../dist/work/thread.js', import.meta.url),
    threads: plan.threads,
    job,
    onFailure: stop,
  });
  options.signal?.addEventListener('abort', stop);
  if (options.signal?.aborted) stop();
  const progress = new BigUint64Array(job.progress);
  const total = plan.bytesRead + plan.layout.bytes;
  const report = () => options.onProgress?.(Math.min(Number(Atomics.load(progress, 0)), total), total);
  const timer = setInterval(report, PROGRESS_MS);

  // Waits for all, also when one fails: nothing is written any more once the failure is told.
  const runAll = async <T extends TaskValue>(tasks: Task[]): Promise<T[]> => {
    const work = tasks.map((task) => pool.run<T>(task));
    await Promise.allSettled(work);
    return Promise.all(work);
  };
  try {
    const modules = await runAll<ModuleReport>(job.modules.map((_, index) => ({ kind: 'module', index })));
    await runAll<null>(
      plan.whole.map(({ input, from }, i): Task => {
        const to = plan.layout.whole[i] ?? 0;
        return { kind: 'copy', path: options.pathOf(input, from.file), from: from.begin, to, bytes: from.bytes };
      }),
    );
    const [own] = options.digests === false ? [null] : await runAll<string>([{ kind: 'digest', path: options.path }]);
    const digests = await runAll<string>((options.digestFiles ?? []).map((path) => ({ kind: 'digest', path })));
    report();
    return { bytes: plan.layout.bytes, sha256: own ?? null, modules, digests };
  } catch (error) {
    throw isNoSpace(error) ? fromPlain(toPlain(error)) : error;
  } finally {
    clearInterval(timer);
    options.signal?.removeEventListener('abort', stop);
    await pool.close();
  }
}

async function prepareFile(path: string, header: Uint8Array, bytes: number): Promise<void> {
  try {
    const handle = await open(path, 'wx');
    try {
      await handle.writeFile(header);
      await handle.truncate(bytes);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw isNoSpace(error) ? fromPlain(toPlain(error)) : error;
  }
}

function toJob(plan: AdapterPlan, { path, pathOf }: WriteAdapterOptions): Job {
  return {
    output: path,
    dtype: plan.dtype,
    modules: plan.modules.map((module, i) => toJobModule(module, plan.layout.modules[i], pathOf)),
    range: plan.range,
    cacheBytes: plan.cacheBytes,
    progress: new SharedArrayBuffer(8),
    stop: new SharedArrayBuffer(4),
  };
}

function toJobModule(
  { module, rank, inner, outer, work }: PlannedModule,
  at: { a: number; b: number } | undefined,
  pathOf: WriteAdapterOptions['pathOf'],
): JobModule {
  const place = (input: number, { name, file, begin, dtype, elements }: CheckpointTensor): Place => {
    return { path: pathOf(input, file), begin, dtype, elements, name };
  };
  const toWork = (): JobWork => {
    if (work.kind === 'extract') {
      const { base, model, transposed } = work;
      return { kind: work.kind, base: place(0, base), model: place(1, model), transposed };
    }
    const terms = work.terms.map(({ input, a, b, ...rest }) => ({ ...rest, a: place(input, a), b: place(input, b) }));
    return { kind: work.kind, terms };
  };
  return { module, rank, inner, outer, a: at?.a ?? 0, b: at?.b ?? 0, work: toWork() };
}
