import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { MergeState } from '@amalgam/contracts';
import type { Claim } from '@amalgam/database';
import type { JobHandler, QueueJob } from '@amalgam/queue';
import type { Logger } from '@amalgam/telemetry';
import type { WorkerContext } from '../context.js';
import { Lease } from '../lease.js';
import { patiently } from '../patience.js';
import { evaluateStage } from './evaluating.js';
import { mergeStage } from './merging.js';
import { type Planned, planStage } from './planning.js';
import { ProgressReporter } from './progress.js';
import { publishStage } from './publishing.js';
import { settle } from './settling.js';
import { tuneStage } from './tuning.js';

/** The merges that this worker works on: claims them, keeps their leases, takes them through the stages. */
export class MergeJobs {
  readonly #context: WorkerContext;
  readonly #running = new Map<string, Lease>();
  readonly #stopping = new AbortController();

  constructor(context: WorkerContext) {
    this.#context = context;
  }

  /** Consumes a merge lane, whose attempts say that they ran on that device. */
  handleOn(device: string): JobHandler {
    return (job, signal) => this.#handle(job, signal, device);
  }

  /** A job for which there is nothing to claim is done. */
  async #handle(job: QueueJob, signal: AbortSignal, device: string): Promise<void> {
    const mergeId = job.data['merge_id'];
    if (mergeId === undefined) return;
    const { config, parts, log, identity } = this.#context;
    const { staleMs, maxAttempts, heartbeatMs } = config.worker;
    const claim = await patiently(
      () => parts.database.attempts.claim(mergeId, identity.id, { staleAfterMs: staleMs, maxAttempts, device }),
      { signal: AbortSignal.any([signal, this.#stopping.signal]), log, what: 'claiming a merge' },
    );
    if (claim === null) return;

    const { attemptId } = claim;
    const child = log.child({ merge: mergeId, attempt: attemptId });
    const lease = new Lease({ attempts: parts.database.attempts, attemptId, everyMs: heartbeatMs, log: child });
    this.#running.set(mergeId, lease);
    if (this.#stopping.signal.aborted) lease.stop('stopping');
    try {
      await perform({ ...this.#context, log: child }, claim, lease, child);
    } finally {
      this.#running.delete(mergeId);
      await lease.close();
    }
  }

  /** Ids of the merges that run now. */
  running(): string[] {
    return [...this.#running.keys()];
  }

  /** Somebody may have canceled this merge; '' stands for any. */
  look(mergeId: string): void {
    if (mergeId !== '') this.#running.get(mergeId)?.wake();
    else for (const lease of this.#running.values()) lease.wake();
  }

  /** Running merges, and those that are about to, go back to the queue. */
  stop(): void {
    this.#stopping.abort(new Error('the worker is stopping'));
    for (const lease of this.#running.values()) lease.stop('stopping');
  }
}

async function perform(context: WorkerContext, claim: Claim, lease: Lease, log: Logger): Promise<void> {
  log.info({ number: claim.number, method: claim.merge.recipe.method }, 'merge started');
  const started = performance.now();
  const progress = new ProgressReporter(context.parts.database.attempts, lease, log);
  let state: MergeState | 'lost';
  try {
    await runStages(context, claim, lease, progress);
    state = 'succeeded';
  } catch (error) {
    await progress.finish();
    state = await settle(context, claim, lease, error, log);
  }
  measure(context, claim, state, progress);
  log.info({ state, seconds: Math.round(performance.now() - started) / 1000 }, 'merge attempt ended');
}

async function runStages(
  context: WorkerContext,
  claim: Claim,
  lease: Lease,
  progress: ProgressReporter,
): Promise<void> {
  const folder = await context.scratch.make(claim.attemptId);
  let planned: Planned | undefined;
  try {
    planned = await planStage(context, claim, lease, progress, folder);
    const tuned = await tuneStage(context, planned, lease, progress, folder);
    const outDir = join(folder, 'result');
    await mkdir(outDir);
    const merged = await mergeStage(context, planned, tuned, lease, progress, outDir);
    const tasks = await evaluateStage(context, planned, merged, lease, progress);
    merged.result.report = { ...merged.result.report, ...tuned?.report, ...(tasks !== null && { tasks }) };
    await publishStage(context, planned, merged, lease, progress, outDir);
    context.metrics.mergeBytesTotal.inc({ direction: 'read' }, planned.plan.bytesRead);
    context.metrics.mergeBytesTotal.inc({ direction: 'written' }, planned.plan.bytesWritten);
  } finally {
    await context.scratch.remove(folder);
    await planned?.tasks.release();
    await planned?.local.release();
  }
}

function measure(
  { metrics }: WorkerContext,
  claim: Claim,
  state: MergeState | 'lost',
  { seconds }: ProgressReporter,
): void {
  const { method } = claim.merge.recipe;
  metrics.mergesTotal.inc({ method, state });
  if (state !== 'succeeded') return;
  for (const [stage, value] of Object.entries(seconds)) metrics.mergeSeconds.observe({ method, stage }, value);
}
