import type { Score } from '@amalgam/contracts';
import { checkFinite, openDataset } from '@amalgam/tensors';
import { Digests } from './bind-contents.js';
import { Forward, WeightCache, type Weights } from './forward.js';
import type { EvaluateJob, Job } from './jobs.js';
import type { Evaluated, Message } from './messages.js';
import { ownTensor, type PreparedTask, prepareTask, tensorOfFirst } from './prepare.js';
import type { Tally } from './scoring.js';
import type { StoredTensor } from './stored.js';

/** Runs in the forked process: the merged model, each task's own and the base on the task's dataset. */
export async function runEvaluation(job: EvaluateJob, tell: (message: Message) => void): Promise<Evaluated> {
  const tasks: Evaluated['tasks'] = [];
  const known = new Digests();
  const shared = { merged: new WeightCache(), base: new WeightCache() };
  const total = job.tasks.length * (job.base === null ? 2 : 3);
  let done = 0;
  for (const [index, { name, evaluation, data }] of job.tasks.entries()) {
    const dataset = (evaluation ?? data)!;
    const task = await prepareTask(job, index, dataset, null, known);
    const forward = await Forward.open(task, task.graph, job);
    const reader = await openDataset(dataset.path, dataset.description);
    try {
      for (const { name: input } of task.inputs) await checkFinite(reader, input);
      const score = async (weights: Weights, cache: WeightCache): Promise<Score> => {
        const tally = await forward.score(reader, weights, cache, () => tell({ kind: 'alive' }));
        tell({ kind: 'evaluated', done: ++done, total });
        return toScore(tally);
      };
      tasks.push({
        name,
        rows: reader.description.rows,
        merged: await score((binding) => weightsOf(job, task, 'merged', binding.tensor), shared.merged),
        individual: await score((binding) => weightsOf(job, task, 'individual', binding.tensor), new WeightCache()),
        base:
          job.base === null
            ? null
            : await score((binding) => weightsOf(job, task, 'base', binding.tensor), shared.base),
      });
    } finally {
      await reader.close();
      await forward.release();
    }
  }
  return { tasks, peakRssBytes: process.resourceUsage().maxRSS * 1024 };
}

/**
 * Merged: what was merged, else the task's own. Individual: the task's model. Base: the base, and what that lacks, such as a
 * head, of the task's model.
 */
function weightsOf(
  job: EvaluateJob,
  { job: task }: PreparedTask,
  variant: 'merged' | 'individual' | 'base',
  tensor: string,
): StoredTensor {
  const first = variant === 'merged' ? job.result : variant === 'base' ? job.base : null;
  return tensorOfFirst([first], tensor) ?? ownTensor(job as Job, task.model, tensor);
}

function toScore({ count, entropy, labelled, right }: Tally): Score {
  const mean = entropy / count;
  return { entropy: Number.isFinite(mean) ? mean : null, accuracy: labelled === 0 ? null : right / labelled };
}
