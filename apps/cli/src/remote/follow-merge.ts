import type { Client } from '@amalgam/client';
import type { Merge, MergeEvent, TuningProgress } from '@amalgam/contracts';
import type { MergeProgress } from '../merge-progress.js';

/** What a progress event tells. */
interface Told {
  stage?: string | null;
  bytes_done?: number;
  bytes_total?: number;
  tuning?: TuningProgress;
}

/** Follows a merge to its end: a bar for what it does, a line for what has happened; with `json` each event as a line. */
export async function followMerge(
  client: Client,
  id: string,
  progress: MergeProgress,
  options: { json?: boolean | undefined },
): Promise<Merge> {
  const show = options.json
    ? (event: MergeEvent) => console.log(JSON.stringify({ event: event.type, ...event.data }))
    : tell;
  function tell({ type, data }: MergeEvent): void {
    if (type !== 'merge.progress') {
      progress.stop();
      console.error(`${type.replace('merge.', '')}`);
      return;
    }
    const { stage, tuning, bytes_done: done = 0, bytes_total: total = 0 } = data as Told;
    if (tuning !== undefined) progress.step(tuning);
    else if (total > 0) progress.bytes(stage === 'tuning' ? 'tuning' : 'merging', done, total);
  }
  try {
    return await client.merges.waitFor(id, { onEvent: show });
  } finally {
    progress.stop();
  }
}

/** Says how a merge ended, and sets the exit code: 1 for one that failed or was canceled. */
export function reportEnd(merge: Merge, { json }: { json?: boolean | undefined }): void {
  if (merge.state !== 'succeeded') process.exitCode = 1;
  if (json) {
    console.log(JSON.stringify({ event: 'done', merge }));
    return;
  }
  if (merge.state === 'succeeded') {
    console.log(`${merge.id}: ${merge.state}; its result is ${merge.result?.checkpoint_id}`);
    return;
  }
  console.error(`amalgam: ${merge.id}: ${merge.state}${merge.error === null ? '' : `: ${merge.error.detail}`}`);
  for (const { pointer, detail } of merge.error?.errors ?? []) console.error(`  ${pointer}: ${detail}`);
}
