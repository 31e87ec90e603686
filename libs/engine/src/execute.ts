import { join } from 'node:path';
import { dtypeBytes, type Report } from '@amalgam/contracts';
import { executeAdapter } from './adapter-result.js';
import { coefficientRows, type EffectiveCoefficients } from './coefficients.js';
import { toCopyTasks } from './copies.js';
import { allOrFirstFailure, overTensors } from './gather.js';
import { createMasks, type OpenMasks, rescalersOf, writeMasks } from './masks.js';
import { type Factors, findFactors, type Known } from './modifiers.js';
import { createFile } from './output-file.js';
import { buildReport, type MergeStatistics, newStatistics, type TensorStatistics } from './report.js';
import { type Session, type SessionOptions, withThreads } from './session.js';
import type { Bands } from './trim.js';
import type { MergePlan, WrittenFile } from './types.js';

export interface ExecuteOptions extends SessionOptions {
  /** An existing folder that nobody reads yet; the result's files appear in it one after the other. */
  outDir: string;
  /** Compute the SHA-256 of each file; default true. */
  digests?: boolean;
  /** Input files to compute the SHA-256 of as well, while they are still in the system's cache. */
  digestInputs?: { input: number; file: string }[];
  /** For tuned methods, and only for them: what the tuning has learned. */
  coefficients?: EffectiveCoefficients;
  /** Called when a file of the result is complete; the next one is written meanwhile. */
  onFile?(file: WrittenFile, statistics: TensorStatistics[]): Promise<void>;
  /** Files that an earlier attempt has finished, with the statistics of their tensors. They are not written again. */
  finished?: Map<string, { file: WrittenFile; statistics: TensorStatistics[] }>;
}

export interface ExecuteResult {
  files: WrittenFile[];
  report: Report;
  /** In the order of `digestInputs`. */
  inputDigests: string[];
}

/**
 * Runs a planned merge: streams tensors chunk by chunk through a pool of threads, each with its own kernels. The bytes written
 * depend on the plan's recipe and inputs only, not on threads, chunks or timing.
 *
 * @throws AmalgamError `canceled`, `storage_full`, `checkpoint_changed` (an input is shorter than its header said), `internal`
 * (coefficients that do not fit the plan)
 */
export async function executeMerge(plan: MergePlan, options: ExecuteOptions): Promise<ExecuteResult> {
  if (plan.adapter !== null) return executeAdapter(plan, plan.adapter, options);
  const started = performance.now();
  const coefficients = coefficientRows(plan, options.coefficients);
  const outWidth = plan.merged.reduce((most, { dtype }) => Math.max(most, dtypeBytes(dtype)), 0);
  const bytesTotal = plan.bytesRead + plan.bytesWritten;
  return withThreads(plan, options, { bytesTotal, outWidth, coefficients }, async (session) => {
    const statistics = newStatistics();
    const lap = stopwatch(statistics);
    let handover = Promise.resolve();
    try {
      const bands = await lap('trimming', () => session.findBands());
      const blends = await lap('measuring', () => session.findBlends());
      const found = await lap('measuring', () => session.findSurveys(bands));
      const known: Known = { bands: bands?.byTensor ?? null, blends, found };
      const factors = await lap('measuring', () => findFactors(plan, session.job, known, session.run));
      statistics.modifier = factors?.modifier ?? null;
      statistics.rescalers = rescalersOf(plan, found);
      statistics.thresholds = bands?.thresholds ?? null;
      const pathTo = (file: { path: string }) => join(options.outDir, file.path);
      const isLeft = (index: number) => !options.finished?.has(plan.files[index]!.path);
      const maskFiles = plan.masks.map(({ file }) => file).filter(isLeft);
      const masks = await createMasks(plan, maskFiles, pathTo, found);
      const merged = plan.merged.flatMap(({ file }, index) => (isLeft(file) ? [] : [index]));
      if (masks !== null) await lap('merging', () => writeMasks(masks, merged, session.job, found ?? [], session.run));
      const files: WrittenFile[] = [];
      for (const [index, file] of plan.files.entries()) {
        const done = options.finished?.get(file.path);
        if (done !== undefined) {
          statistics.add(done.statistics);
          files.push(done.file);
          continue;
        }
        const path = pathTo(file);
        const own = await lap('merging', async () => {
          // With the last of the tensors its masks are written as well.
          if (maskFiles.includes(index)) return [];
          return writeFile(plan, index, path, session, bands, known, factors, masks);
        });
        statistics.add(own);
        const sha256 =
          options.digests === false ? null : await lap('digests', () => session.run<string>({ kind: 'digest', path }));
        const written = { path: file.path, bytes: file.bytes, sha256 };
        files.push(written);
        await handover;
        handover = options.onFile?.(written, own) ?? handover;
        // Waited for below; until then a failure is not "unhandled".
        handover.catch(() => {});
      }
      await handover;
      const inputDigests = await lap('digests', () =>
        Promise.all(
          (options.digestInputs ?? []).map(({ input, file }) =>
            session.run<string>({ kind: 'digest', path: options.pathOf(input, file) }),
          ),
        ),
      );
      session.reportProgress();
      statistics.seconds['total'] = (performance.now() - started) / 1000;
      return { files, report: buildReport(plan, statistics), inputDigests };
    } catch (error) {
      session.stop();
      // Whoever cleans up after the failure must not meet a hand-over that still goes on.
      await handover.catch(() => {});
      throw error;
    }
  });
}

function stopwatch(statistics: MergeStatistics) {
  return async <T>(stage: string, work: () => Promise<T>): Promise<T> => {
    const start = performance.now();
    const value = await work();
    statistics.seconds[stage] = (statistics.seconds[stage] ?? 0) + (performance.now() - start) / 1000;
    return value;
  };
}

async function writeFile(
  plan: MergePlan,
  index: number,
  path: string,
  { job, inputIndex, run }: Session,
  bands: Bands | null,
  { blends, found }: Known,
  factors: Factors | null,
  masks: OpenMasks | null,
): Promise<TensorStatistics[]> {
  await createFile(path, plan.files[index]!);
  const mine = plan.merged.flatMap((tensor, i) => (tensor.file === index ? [i] : []));
  const merging = overTensors(job, mine, bands, run, (spans, spanBands) => ({
    kind: 'merge',
    output: path,
    spans,
    bands: spanBands,
    blends: blends === null ? null : spans.map((span) => blends[span.tensor]!),
    found: found === null ? null : spans.map((span) => found[span.tensor]!),
    factors: factors === null ? null : spans.map((span) => factors.byTensor[span.tensor]!),
    masks: masks && { outputs: masks.outputs, begins: spans.map((span) => masks.begins(span.tensor)) },
  }));
  const copying = toCopyTasks(plan, index, path, inputIndex).map((task) => run(task));
  await allOrFirstFailure<unknown>([merging, ...copying]);
  return merging;
}
