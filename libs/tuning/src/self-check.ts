import { AmalgamError, quote } from '@amalgam/contracts';
import type { DatasetReader } from '@amalgam/tensors';
import { gatherMask } from './feeds.js';
import { Forward, feedsOf, toFloats, type WeightCache, type Weights } from './forward.js';
import type { TuneJob } from './jobs.js';
import { requirePositions } from './positions.js';
import { ownTensor, type PreparedTask, tensorOfFirst } from './prepare.js';
import type { Stepper } from './run-tuning.js';
import { addScores, EMPTY_TALLY } from './scoring.js';
import { asGraphErrors, floatsOf, openSession } from './session.js';

/** Relative to the largest logit: float32 rounding of a graph that the runtime optimises differently. */
const LOGITS_TOLERANCE = 1e-3;
/** Relative to the loss. */
const LOSS_TOLERANCE = 1e-3;

/**
 * Runs a task's graph as it was exported and again with the checkpoint's tensors in the place of its initializers: the
 * logits must be equal. Returns the loss of these rows (sum over batches of mean entropies) with the base's tensors, and the
 * shape of a batch's logits.
 *
 * Errors: `invalid_graph` when the runtime does not run it; `unbound_graph` naming graph and difference; `invalid_dataset` for
 * a mask of other positions.
 */
export async function verifyBinding(
  job: TuneJob,
  task: PreparedTask,
  reader: DatasetReader,
  rows: readonly number[],
  { batchSize }: { batchSize: number },
  cache: WeightCache,
): Promise<{ loss: number; logits: readonly number[] }> {
  const first = rows.slice(0, batchSize);
  const feeds = await feedsOf(task, reader, first);
  const expected = await asGraphErrors(task.job.graph, async () => {
    const exported = await openSession(task.job.graph.path, job);
    try {
      const results = await exported.run(feeds, [task.logits]);
      return toFloats(results[task.logits]!);
    } finally {
      await exported.release();
    }
  });

  const forward = await Forward.open(task, task.graph, job);
  try {
    const logits = await forward.logits(feeds, ({ reference }) => reference, cache);
    const bound = toFloats(logits);
    // Logits that are not finite in both are for the first step to tell.
    const largest = expected.reduce(
      (most, logit) => (Number.isFinite(logit) ? Math.max(most, Math.abs(logit)) : most),
      0,
    );
    const apart = bound.reduce((most, logit, i) => {
      return Object.is(logit, expected[i]) ? most : Math.max(most, Math.abs(logit - expected[i]!));
    }, 0);
    if (!(apart <= LOGITS_TOLERANCE * Math.max(largest, 1e-6)) || bound.length !== expected.length) {
      throw new AmalgamError(
        'unbound_graph',
        `${task.job.graph.name}: with the checkpoint’s tensors its logits differ by ${apart} of ${largest} from those that it was exported with`,
      );
    }
    if (task.mask !== null) requirePositions(reader.description, task.mask, logits.dims);
    const base: Weights = ({ tensor }) =>
      job.merged.some(({ name }) => name === tensor)
        ? tensorOfFirst([job.base], tensor)!
        : ownTensor(job, task.job.model, tensor);
    let loss = 0;
    for (let begin = 0; begin < rows.length; begin += batchSize) {
      const part = rows.slice(begin, begin + batchSize);
      const tensor = await forward.logits(await feedsOf(task, reader, part), base, cache);
      const mask = task.mask === null ? null : floatsOf(await gatherMask([{ reader, rows: part }], task.mask));
      const classes = tensor.dims.at(-1)!;
      const tally = addScores(EMPTY_TALLY, { logits: toFloats(tensor), classes, mask, labels: null });
      loss += tally.entropy / tally.count;
    }
    return { loss, logits: logits.dims };
  } finally {
    await forward.release();
  }
}

/**
 * Holds the step graph, with coefficients of zero, against the losses that the tasks' own graphs have with the base's
 * tensors. Errors: `internal` naming the first task whose loss differs.
 */
export async function checkStep(stepper: Stepper, expected: readonly number[], job: TuneJob): Promise<void> {
  const rows = job.settings.granularity === 'task' ? 1 : job.vectors.tensors.length;
  const zeros = Array.from({ length: rows }, () => job.models.map(() => 0));
  const { losses } = await stepper.step(zeros, 0);
  const wrong = expected.findIndex((loss, t) => {
    const apart = Math.abs(losses[t]! - loss);
    // What is not finite is told by the first step, which names the task.
    return Number.isFinite(loss) && !(apart <= LOSS_TOLERANCE * Math.max(Math.abs(loss), 1e-3));
  });
  if (wrong < 0) return;
  const name = quote(job.tasks[wrong]!.name);
  throw new AmalgamError(
    'internal',
    `task ${name}: the step graph gives a loss of ${losses[wrong]} for the base, its own graph ${expected[wrong]}`,
  );
}
