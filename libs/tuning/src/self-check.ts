import { AmalgamError, quote } from '@amalgam/contracts';
import { type Graph, graphOf, modelOf } from '@amalgam/onnx';
import type { DatasetReader } from '@amalgam/tensors';
import { gatherMask } from './feeds.js';
import { type BoundValues, Forward, feedsOf, toFloats, type WeightCache } from './forward.js';
import type { TuneJob } from './jobs.js';
import type { MergedValues } from './merged-values.js';
import { requirePositions } from './positions.js';
import { ownTensor, type PreparedTask } from './prepare.js';
import { addScores, EMPTY_TALLY } from './scoring.js';
import { asGraphErrors, floatsOf, openSession } from './session.js';

/** Relative to the largest logit: float32 rounding of a graph that the runtime optimises differently. */
const LOGITS_TOLERANCE = 1e-3;
/** Relative to the loss. */
const LOSS_TOLERANCE = 1e-3;
/** Rows that show whether weights are where they belong. */
const FEW_ROWS = 2;

/**
 * Runs a task's graph as it was exported and again with the checkpoint's tensors in the place of its initializers: the
 * logits must be equal. Of the batch `rows`, a few do, unless the graph takes no other number.
 *
 * Errors: `invalid_graph` when the runtime does not run it; `unbound_graph` naming graph and difference.
 */
export async function verifyBinding(
  job: TuneJob,
  task: PreparedTask,
  reader: DatasetReader,
  rows: readonly number[],
  cache: WeightCache,
): Promise<void> {
  const { feeds, logits: expected } = await asExported(job, task, reader, rows);
  const forward = await Forward.open(task, copyOf(task.graph), job);
  try {
    const bound = toFloats(
      await forward.logits(feeds, ({ reference, transposed }) => cache.get(reference, transposed)),
    );
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
  } finally {
    await forward.release();
  }
}

/** What a graph gives with its own initializers, for few rows if it takes them. */
async function asExported(job: TuneJob, task: PreparedTask, reader: DatasetReader, rows: readonly number[]) {
  const { graph } = task.job;
  const exported = await asGraphErrors(graph, () => openSession(graph.path, job));
  const run = async (some: readonly number[]) => {
    const feeds = await feedsOf(task, reader, some);
    return asGraphErrors(graph, async () => ({
      feeds,
      logits: toFloats((await exported.run(feeds, [task.logits]))[task.logits]!),
    }));
  };
  try {
    if (task.fixedBatch !== null || rows.length <= FEW_ROWS) return await run(rows);
    return await run(rows.slice(0, FEW_ROWS)).catch(() => run(rows));
  } finally {
    await exported.release();
  }
}

/**
 * The loss that a task's own graph gives with merged tensors: the sum over batches of mean entropies; and the shape of a batch's
 * logits. Errors: `invalid_graph`; `invalid_dataset` for a mask of other positions.
 */
export async function ownLoss(
  job: TuneJob,
  task: PreparedTask,
  reader: DatasetReader,
  rows: readonly number[],
  { merged, cache }: { merged: MergedValues; cache: WeightCache },
): Promise<{ loss: number; logits: readonly number[] }> {
  const { batchSize } = job.settings;
  const values: BoundValues = ({ tensor, transposed }) =>
    merged.has(tensor) ? merged.get(tensor, transposed) : cache.get(ownTensor(job, task.job.model, tensor), transposed);
  const forward = await Forward.open(task, copyOf(task.graph), job);
  try {
    let loss = 0;
    let logits: readonly number[] = [];
    for (let begin = 0; begin < rows.length; begin += batchSize) {
      const part = rows.slice(begin, begin + batchSize);
      const tensor = await forward.logits(await feedsOf(task, reader, part), values);
      logits = tensor.dims;
      if (task.mask !== null) requirePositions(reader.description, task.mask, logits);
      const mask = task.mask === null ? null : floatsOf(await gatherMask([{ reader, rows: part }], task.mask));
      const classes = logits.at(-1)!;
      const tally = addScores(EMPTY_TALLY, { logits: toFloats(tensor), classes, mask, labels: null });
      loss += tally.entropy / tally.count;
    }
    return { loss, logits };
  } finally {
    await forward.release();
  }
}

/** Opening a graph's tensors changes it, and the step graph is made of it too. */
function copyOf(graph: Graph): Graph {
  return graphOf(modelOf(graph), graph.name);
}

/** Holds the losses of the step graph against those that the tasks' own graphs have. Errors: `internal` naming the first task whose loss differs. */
export function checkLosses(losses: readonly number[], expected: readonly number[], job: TuneJob): void {
  const wrong = expected.findIndex((loss, t) => {
    const apart = Math.abs(losses[t]! - loss);
    // What is not finite is told by the first step, which names the task.
    return Number.isFinite(loss) && !(apart <= LOSS_TOLERANCE * Math.max(Math.abs(loss), 1e-3));
  });
  if (wrong < 0) return;
  const name = quote(job.tasks[wrong]!.name);
  throw new AmalgamError(
    'internal',
    `task ${name}: the step graph gives a loss of ${losses[wrong]}, its own graph ${expected[wrong]}`,
  );
}
