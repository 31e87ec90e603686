import { AmalgamError } from '@amalgam/contracts';
import { type ByMagnitude, keptOf } from '@amalgam/methods';
import type { Band, Cut, Job, ScanResult, Span, Task, Window } from './job.js';
import { HISTOGRAM_BYTES } from './memory.js';
import { countElements, sample, toTasks } from './spans.js';

/** Keys are below 2^31; no window reaches further. */
const KEYS = 0x7fffffff;
/** Bins of a window that cannot have one for each key: small enough to be sent around for nothing. */
const COARSE_BINS = 2 ** 12;
/** How far from the sampled quantile the true one is looked for first, in standard deviations of independent draws. */
const SAMPLE_DEVIATIONS = 6;
/** Tasks that a group is scanned in; each has a histogram, so that ties are found by scanning one task again. */
const GROUP_TASKS = 16;
const GROUPS_AT_ONCE = 4;
/** A task's bins are 32 bits wide, and all of its entries may be equal. */
const MOST_TASK_ELEMENTS = 2 ** 31;

export type RunTask = <T>(task: Task) => Promise<T>;

/** Tensors that share a threshold: all of them, or one. */
interface Group {
  tensors: { index: number; elements: number }[];
  elements: number;
}

/** A place in the order of a group's entries to be found: how many of a model's entries lie before it. */
interface Search {
  model: number;
  rank: number;
}

/** What is kept by tensor and model, and for a ranking of whole models each model's threshold. */
export interface Bands {
  byTensor: Band[][];
  /** Smallest magnitude kept, by model; null when each tensor has its own. */
  thresholds: number[] | null;
}

/**
 * Finds the exact thresholds of what each model keeps by magnitude, without sorting and without holding the model: a sample
 * says where to look, one pass counts what lies above and resolves the narrow windows around them to single keys. Should a
 * true threshold lie outside, the search goes on from the counts; the result never depends on the sample. Among entries equal
 * to a threshold those of lowest index come first, and one more look at a sixteenth of the elements finds where they end.
 */
export async function findBands(job: Job, sparsify: ByMagnitude, run: RunTask): Promise<Bands> {
  const tensors = job.tensors.map(({ elements }, index) => ({ index, elements }));
  const groups: Group[] =
    sparsify.scope === 'model'
      ? [{ tensors, elements: tensors.reduce((sum, tensor) => sum + tensor.elements, 0) }]
      : tensors.map((tensor) => ({ tensors: [tensor], elements: tensor.elements }));

  const byTensor: Band[][] = job.tensors.map(() => []);
  let thresholds: number[] | null = null;
  // Groups are independent; a few at a time keep all threads busy and share the memory for histograms.
  const atOnce = Math.min(groups.length, GROUPS_AT_ONCE);
  await mapLimited(groups, atOnce, async (group) => {
    const counts = sparsify.densities.map((density, model) =>
      keptOf(group.elements, density, sparsify.outliers[model]!),
    );
    const inner = counts.map(({ kept, outliers }, model) => ({ model, rank: kept + outliers }));
    const outer = counts.flatMap(({ outliers }, model) => (outliers === 0 ? [] : [{ model, rank: outliers }]));
    const found = await searchGroup(job, group, [...inner, ...outer], HISTOGRAM_BYTES / atOnce, run);
    const outerOf = (model: number) => {
      const at = outer.findIndex((search) => search.model === model);
      return at === -1 ? null : found[inner.length + at]!;
    };
    for (const { index } of group.tensors) {
      byTensor[index] = inner.map((_, model) => ({
        inner: found[model]!.of(index),
        outer: outerOf(model)?.of(index) ?? null,
      }));
    }
    if (sparsify.scope === 'model') thresholds = inner.map((_, model) => magnitude(found[model]!.key));
  });
  return { byTensor, thresholds };
}

interface Found {
  key: number;
  of(tensor: number): Cut;
}

const KEEP_ALL: Found = { key: 0, of: () => ({ key: 0, tieEnd: Number.MAX_SAFE_INTEGER }) };

async function searchGroup(
  job: Job,
  group: Group,
  searches: Search[],
  histogramBytes: number,
  run: RunTask,
): Promise<Found[]> {
  if (group.elements === 0) return searches.map(() => ({ key: 0, of: () => ({ key: 0, tieEnd: 0 }) }));
  const tasks = toTasks(group.tensors, job.chunkElements, scanTarget(group.elements, job.chunkElements));
  const bins = 2 ** Math.min(18, Math.floor(Math.log2(histogramBytes / 4 / (tasks.length * searches.length))));

  // Density 1 keeps everything, zeros included: there is nothing to search.
  const found = searches.map(({ rank }): Found | undefined => (rank === group.elements ? KEEP_ALL : undefined));
  if (found.every((cut) => cut !== undefined)) return found as Found[];
  const guesses = await sampleWindows(group, searches, { each: bins, all: histogramBytes / 4 }, run);
  let windows: (Window | null)[] = guesses.map((window, i) => (found[i] === undefined ? window : null));
  while (windows.some((window) => window !== null)) {
    const current = windows;
    const scans = await Promise.all(tasks.map((spans) => run<ScanResult>({ kind: 'scan', spans, windows: current })));
    windows = await Promise.all(
      current.map(async (window, i) => {
        if (window === null) return null;
        const { model, rank } = searches[i]!;
        const outcome = resolve(window, rank, scans, i);
        if ('next' in outcome) return fit(model, outcome.next.low, outcome.next.high, bins);
        found[i] = await locateTies(tasks, model, outcome.key, outcome.ties, outcome.equal, run);
        return null;
      }),
    );
  }
  return found.map((cut) => cut!);
}

/** Elements of a task of a scan. A group of one small tensor is one task. */
export function scanTarget(elements: number, chunkElements: number): number {
  return Math.min(Math.max(Math.ceil(elements / GROUP_TASKS), 4 * chunkElements), MOST_TASK_ELEMENTS);
}

/** A window over keys [low, high): a bin for each key where `bins` are enough, else few bins for a first look. */
function fit(model: number, low: number, high: number, bins: number): Window {
  const shift = high - low <= bins ? 0 : Math.max(0, Math.ceil(Math.log2((high - low) / COARSE_BINS)));
  return { model, low, high, shift, bins: Math.ceil((high - low) / 2 ** shift), common: -1 };
}

/** Guesses, from a spread sample, a narrow window for each search. */
async function sampleWindows(
  group: Group,
  searches: Search[],
  bins: { each: number; all: number },
  run: RunTask,
): Promise<Window[]> {
  const spans = sample(group.tensors);
  const size = countElements(spans);
  const isAll = size === group.elements;
  const scan = (windows: Window[]) => run<ScanResult>({ kind: 'scan', spans, windows });
  /** Bins between which the true rank lies, as far as the sample tells: from the `bottom` to the `top` one. */
  const bounds = ({ above, histograms }: ScanResult, i: number) => {
    const share = searches[i]!.rank / group.elements;
    const margin = isAll ? 0 : SAMPLE_DEVIATIONS * Math.sqrt(size * share * (1 - share)) + 16;
    const at = (rank: number) => binOfRank(histograms[i]!, rank - above[i]!);
    return { top: at(Math.max(1, share * size - margin)), bottom: at(Math.min(size, share * size + margin)) };
  };

  const whole = { low: 0, high: KEYS, shift: 15, bins: 2 ** 16, common: -1 };
  const coarse = await scan(searches.map(({ model }) => ({ model, ...whole })));
  const near = searches.map(({ model }, i) => {
    const { top, bottom } = bounds(coarse, i);
    const [low, high] = [bottom * 2 ** whole.shift, Math.min(KEYS, (top + 1) * 2 ** whole.shift)];
    return { model, low, high, shift: 0, bins: high - low, common: -1 };
  });
  const needed = near.reduce((sum, window) => sum + window.bins, 0);
  if (isAll || needed > bins.all) return near.map(({ model, low, high }) => fit(model, low, high, bins.each));

  const close = await scan(near);
  return near.map(({ model, low }, i) => {
    // Differences of bfloat16 take few values. Mostly one of them holds the rank, and the window is that single key.
    const { top, bottom } = bounds(close, i);
    const window = fit(model, low + bottom, low + top + 1, bins.each);
    if (window.shift > 0) return window;
    const counts = close.histograms[i]!;
    let often = bottom;
    for (let bin = bottom; bin <= top; bin++) if (counts[bin]! > counts[often]!) often = bin;
    return { ...window, common: low + often };
  });
}

/** The bin that holds the `rank`-th largest key; the lowest bin when there are fewer. */
function binOfRank(histogram: Uint32Array, rank: number): number {
  let seen = 0;
  for (let bin = histogram.length - 1; bin > 0; bin--) {
    seen += histogram[bin]!;
    if (seen >= rank) return bin;
  }
  return 0;
}

type Outcome = { next: { low: number; high: number } } | { key: number; ties: number; equal: number[] };

/** The threshold's key, how many entries equal to it are kept and how many there are by task; or where to look next. */
function resolve(window: Window, rank: number, scans: ScanResult[], search: number): Outcome {
  let above = scans.reduce((sum, scan) => sum + scan.above[search]!, 0);
  if (above >= rank) {
    // Only NaN of the largest payload has the last key; nothing lies above it.
    if (window.high === KEYS) return { key: KEYS, ties: rank, equal: scans.map((scan) => scan.above[search]!) };
    return { next: { low: window.high, high: KEYS } };
  }
  const total = new Float64Array(window.bins);
  for (const scan of scans) addTo(total, scan.histograms[search]!);
  for (let bin = window.bins - 1; bin >= 0; bin--) {
    if (above + total[bin]! >= rank) {
      const low = window.low + bin * 2 ** window.shift;
      if (window.shift > 0) return { next: { low, high: Math.min(window.high, low + 2 ** window.shift) } };
      return { key: low, ties: rank - above, equal: scans.map((scan) => scan.histograms[search]![bin]!) };
    }
    above += total[bin]!;
  }
  if (window.low === 0) {
    throw new AmalgamError(
      'checkpoint_changed',
      'an input changed while it was merged: entries counted before are gone',
    );
  }
  return { next: { low: 0, high: window.low } };
}

function addTo(total: Float64Array, counts: Uint32Array): void {
  for (let i = 0; i < total.length; i++) total[i]! += counts[i]!;
}

/** Where, in the order of entries, the last kept entry equal to the threshold lies. */
async function locateTies(
  tasks: Span[][],
  model: number,
  key: number,
  ties: number,
  equal: number[],
  run: RunTask,
): Promise<Found> {
  const total = equal.reduce((sum, count) => sum + count, 0);
  if (ties >= total) return { key, of: () => ({ key, tieEnd: Number.MAX_SAFE_INTEGER }) };
  let left = ties;
  const task = equal.findIndex((count) => {
    if (count >= left) return true;
    left -= count;
    return false;
  });
  const end = await run<{ tensor: number; tieEnd: number }>({
    kind: 'locate',
    spans: tasks[task]!,
    model,
    key,
    nth: left,
  });
  return {
    key,
    of: (tensor) => {
      if (tensor === end.tensor) return { key, tieEnd: end.tieEnd };
      return { key, tieEnd: tensor < end.tensor ? Number.MAX_SAFE_INTEGER : 0 };
    },
  };
}

/** The magnitude whose float32 bits the key is. */
function magnitude(key: number): number {
  return new Float32Array(Uint32Array.of(key).buffer)[0]!;
}

async function mapLimited<T>(items: T[], limit: number, visit: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await visit(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}
