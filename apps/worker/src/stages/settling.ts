import { setTimeout as sleep } from 'node:timers/promises';
import { isAmalgamError, type MergeState } from '@amalgam/contracts';
import type { Claim } from '@amalgam/database';
import type { Logger } from '@amalgam/telemetry';
import type { WorkerContext } from '../context.js';
import type { Lease } from '../lease.js';
import { patiently } from '../patience.js';
import { judge, type Verdict } from './failure.js';
import { discardResult } from './result-objects.js';

const LONGEST_RETRY_MS = 30_000;

/** Ends an attempt that did not succeed, for as long as its claim is ours. Returns what became of the merge. */
export async function settle(
  context: WorkerContext,
  claim: Claim,
  lease: Lease,
  error: unknown,
  log: Logger,
): Promise<MergeState | 'lost'> {
  const verdict = lease.stopped === undefined ? judge(error, claim.attemptId) : null;
  if (verdict?.kind === 'bug') log.error({ err: error }, 'the merge met an unexpected error');
  if (verdict?.kind === 'trouble') {
    log.warn({ err: error }, 'the attempt met trouble');
    const pause = Math.min(context.retryMs * 4 ** (claim.number - 1), LONGEST_RETRY_MS);
    await sleep(pause, undefined, { signal: lease.signal }).catch(() => {});
  }
  const { attempts } = context.parts.database;
  const tell = (work: () => Promise<boolean>) =>
    patiently(work, { log, what: 'ending the attempt', forMs: 2 * context.config.worker.staleMs });

  // Meanwhile the claim may have been lost, or the user or a shutdown may have been quicker.
  switch (lease.stopped) {
    case 'lost':
      log.warn('the claim was lost: another worker has the merge, or it ended');
      return 'lost';
    case 'stopping':
      return (await tell(() => attempts.release(lease.attemptId))) ? 'queued' : 'lost';
    case 'canceled':
      await discard(context, claim, lease, log);
      return (await tell(() => attempts.finish(lease.attemptId, { state: 'canceled' }))) ? 'canceled' : 'lost';
  }
  const { kind, error: plain } = verdict ?? judge(error, claim.attemptId);
  if (kind === 'trouble') {
    const { maxAttempts } = context.config.worker;
    return (await tell(() => attempts.release(lease.attemptId, { error: plain, maxAttempts }))) ? 'queued' : 'lost';
  }
  if (discards(verdict)) await discard(context, claim, lease, log);
  const outcome = { state: 'failed', error: plain } as const;
  return (await tell(() => attempts.finish(lease.attemptId, outcome))) ? 'failed' : 'lost';
}

function discards(verdict: Verdict | null): boolean {
  return verdict?.kind === 'failed' && verdict.discard;
}

/** What cannot be removed now is left to the reconciler: the user's answer does not wait for it. */
async function discard(context: WorkerContext, claim: Claim, lease: Lease, log: Logger): Promise<void> {
  if (lease.lost) return;
  try {
    const removed = await discardResult(context, claim.merge.id);
    log.debug({ removed }, 'stored shards were removed');
  } catch (error) {
    const fields = isAmalgamError(error) ? { detail: error.detail } : { err: error };
    log.warn(fields, 'stored shards could not be removed now');
  }
}
