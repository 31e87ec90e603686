import { AmalgamError } from '@amalgam/contracts';
import type { Found } from '@amalgam/methods';
import { allOrFirstFailure } from './gather.js';
import type { Cut, Job, Naming, ScanResult, Span, SurveyTask, Task, Window } from './job.js';
import { countElements, sample, toTasks } from './spans.js';

/** Keys of magnitudes are below 2^31, those of values below 2^32; no window reaches further. */
const MAGNITUDES = 0x7fffffff;
const VALUES = 0xffffffff;
/** Bins of a window that cannot have one for each key: small enough to be sent around for nothing. */
const COARSE_BINS = 2 ** 12;
/** How far from the sampled quantile the true one is looked for first, in standard deviations of independent draws. */
const SAMPLE_DEVIATIONS = 6;
/** Tasks that a group is scanned in; each has a histogram, so that ties are found by scanning one task again. */
const GROUP_TASKS = 16;
/** Groups that are searched side by side. */
export const GROUPS_AT_ONCE = 4;
/** A task's bins are 32 bits wide, and all of its entries may be equal. */
const MOST_TASK_ELEMENTS = 2 ** 31;

export type RunTask = <T>(task: Task) => Promise<T>;

/** Tensors that share an order: all of them, or one. */
export interface Group {
  tensors: { index: number; elements: number }[];
  elements: number;
}

/** What is ordered, the largest first. */
export interface Order {
  /** Place of a ranking in the method's list of surveys; null: magnitudes of the inputs. */
  survey: number | null;
  /** By value; otherwise by magnitude. */
  signed: boolean;
  /** What the searches call models by. */
  naming: Naming;
  /** By tensor: what earlier surveys found. */
  found: Found[][];
  /** Does it matter where the entries end that are equal to what lies at a place? */
  tiesMatter: boolean;
}

/** A place in the order of a group's entries to be found: `rank` of a model's entries lie up to it. A ranking may have one for all models: 0. */
export interface Search {
  model: number;
  rank: number;
}

/** The key at a place, and where in each tensor the entries equal to it that come no later end. */
export interface Place {
  key: number;
  of(tensor: number): Cut;
}

/** The value whose key it is. */
export function keyToValue(key: number, signed: boolean): number {
  const bits = !signed ? key : key >= 2 ** 31 ? key - 2 ** 31 : ~key >>> 0;
  return new Float32Array(Uint32Array.of(bits).buffer)[0]!;
}

/**
 * Finds exact places without sorting and without holding the model: a sample says where to look, one pass counts what lies above
 * and resolves the narrow windows around the places to single keys. Should a true place lie outside, the search goes on from the
 * counts; the result never depends on the sample. Among entries equal to what lies at a place those of lowest index come first,
 * and one more look at a sixteenth of the elements finds where they end.
 *
 * @throws AmalgamError `checkpoint_changed`
 */
export async function searchGroup(
  job: Job,
  order: Order,
  group: Group,
  searches: Search[],
  histogramBytes: number,
  run: RunTask,
): Promise<Place[]> {
  if (group.elements === 0) return searches.map(() => ({ key: 0, of: () => ({ key: 0, tieEnd: 0 }) }));
  const tasks = toTasks(group.tensors, job.chunkElements, scanTarget(group.elements, job.chunkElements));
  const { naming } = order;
  const bins = 2 ** Math.min(18, Math.floor(Math.log2(histogramBytes / 4 / (tasks.length * searches.length))));
  // Which task has how many equals tells where ties end. Where that does not matter one histogram serves for all tasks.
  const isJoined = !order.tiesMatter && group.elements < 2 ** 32;

  const found: (Place | undefined)[] = searches.map(() => undefined);
  const sampled = await sampleWindows(order, group, searches, { each: bins, all: histogramBytes / 4 }, run);
  let windows: (Window | null)[] = isJoined ? widened(sampled, histogramBytes / 16) : sampled;
  while (windows.some((window) => window !== null)) {
    const current = windows;
    const running = tasks.map((spans) =>
      run<ScanResult>({ kind: 'scan', spans, windows: current, naming, survey: toSurvey(order, spans) }),
    );
    const scans = isJoined ? [await join(running, current)] : await Promise.all(running);
    windows = await Promise.all(
      current.map(async (window, i) => {
        if (window === null) return null;
        const { model, rank } = searches[i]!;
        const outcome = window.largest ? resolveLargest(scans, i) : resolve(window, rank, scans, i, keysOf(order));
        if ('next' in outcome) return fit(model, outcome.next.low, outcome.next.high, bins);
        found[i] = await locateTies(order, tasks, model, outcome, run);
        return null;
      }),
    );
  }
  return found.map((place) => place!);
}

/** The windows with a bin for each key, if there are no more than `bins` in all. */
function widened(windows: Window[], bins: number): Window[] {
  const exact = windows.map((window) => (window.largest ? window : fit(window.model, window.low, window.high, bins)));
  const isEnough = exact.reduce((sum, window) => sum + window.bins, 0) <= bins;
  return isEnough ? exact.map((window, i) => ({ ...window, common: windows[i]!.common })) : windows;
}

/** The results of a scan's tasks as if it had one, added up as they come. */
async function join(running: Promise<ScanResult>[], windows: (Window | null)[]): Promise<ScanResult> {
  let all: ScanResult | undefined;
  await allOrFirstFailure(
    running.map(async (task) => {
      const next = await task;
      if (all === undefined) all = next;
      else addScan(all, next, windows);
    }),
  );
  return all!;
}

function addScan(to: ScanResult, next: ScanResult, windows: (Window | null)[]): void {
  windows.forEach((window, i) => {
    if (window === null) return;
    to.above[i]! += next.above[i]!;
    const [sum, own] = [to.histograms[i]!, next.histograms[i]!];
    if (!window.largest) addTo(sum, own);
    else if (own[0]! > sum[0]!) sum.set(own);
    else if (own[0] === sum[0]) sum[1]! += own[1]!;
  });
}

function keysOf({ signed }: Order): number {
  return signed ? VALUES : MAGNITUDES;
}

function toSurvey({ survey, found }: Order, spans: Span[]): SurveyTask | null {
  return survey === null ? null : { index: survey, found: spans.map(({ tensor }) => found[tensor]!) };
}

/** Elements of a task of a scan. A group of one small tensor is one task. */
export function scanTarget(elements: number, chunkElements: number): number {
  return Math.min(Math.max(Math.ceil(elements / GROUP_TASKS), 4 * chunkElements), MOST_TASK_ELEMENTS);
}

/** A window over keys [low, high): a bin for each key where `bins` are enough, else few bins for a first look. */
function fit(model: number, low: number, high: number, bins: number): Window {
  const shift = high - low <= bins ? 0 : Math.max(0, Math.ceil(Math.log2((high - low) / COARSE_BINS)));
  return { model, low, high, shift, bins: Math.ceil((high - low) / 2 ** shift), common: -1, largest: false };
}

/** Guesses, from a spread sample, a narrow window for each search. */
async function sampleWindows(
  order: Order,
  group: Group,
  searches: Search[],
  bins: { each: number; all: number },
  run: RunTask,
): Promise<Window[]> {
  const spans = sample(group.tensors);
  const size = countElements(spans);
  const isAll = size === group.elements;
  const survey = toSurvey(order, spans);
  const scan = (windows: (Window | null)[]) =>
    run<ScanResult>({ kind: 'scan', spans, windows, naming: order.naming, survey });
  const keys = keysOf(order);
  // What comes first needs no window, and a derived quantity's first no other look.
  const first = searches.map(({ model, rank }) => (rank === 1 && order.survey !== null ? largestOf(model) : null));
  if (first.every((window) => window !== null)) return first as Window[];
  /** Bins between which the true rank lies, as far as the sample tells: from the `bottom` to the `top` one. */
  const bounds = ({ above, histograms }: ScanResult, i: number) => {
    const share = searches[i]!.rank / group.elements;
    const margin = isAll ? 0 : SAMPLE_DEVIATIONS * Math.sqrt(size * share * (1 - share)) + 16;
    const at = (rank: number) => binOfRank(histograms[i]!, rank - above[i]!);
    return { top: at(Math.max(1, share * size - margin)), bottom: at(Math.min(size, share * size + margin)) };
  };

  const whole = { low: 0, high: keys, shift: order.signed ? 16 : 15, bins: 2 ** 16, common: -1, largest: false };
  const coarse = await scan(searches.map(({ model }, i) => (first[i] === null ? { model, ...whole } : null)));
  const near = searches.map(({ model }, i): Window | null => {
    if (first[i] !== null) return null;
    const { top, bottom } = bounds(coarse, i);
    const [low, high] = [bottom * 2 ** whole.shift, Math.min(keys, (top + 1) * 2 ** whole.shift)];
    return { model, low, high, shift: 0, bins: high - low, common: -1, largest: false };
  });
  const needed = near.reduce((sum, window) => sum + (window?.bins ?? 0), 0);
  if (isAll || needed > bins.all) {
    return near.map((window, i) =>
      window === null ? first[i]! : fit(window.model, window.low, window.high, bins.each),
    );
  }

  const close = await scan(near);
  return near.map((coarser, i) => {
    if (coarser === null) return first[i]!;
    const { model, low } = coarser;
    // Differences of bfloat16 take few values. Mostly one of them holds the rank, and the window is that single key.
    const { top, bottom } = bounds(close, i);
    const window = fit(model, low + bottom, low + top + 1, bins.each);
    if (window.shift > 0 || order.signed) return window;
    const counts = close.histograms[i]!;
    let often = bottom;
    for (let bin = bottom; bin <= top; bin++) if (counts[bin]! > counts[often]!) often = bin;
    return { ...window, common: low + often };
  });
}

/** Asks for the largest key and how often it is there. */
function largestOf(model: number): Window {
  return { model, low: 0, high: 0, shift: 0, bins: 2, common: -1, largest: true };
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

interface Resolved {
  key: number;
  /** Entries equal to it that come no later than the place, and how many there are by task. */
  ties: number;
  equal: number[];
}

type Outcome = { next: { low: number; high: number } } | Resolved;

/** What lies at the place, or where to look next. */
function resolve(window: Window, rank: number, scans: ScanResult[], search: number, keys: number): Outcome {
  let above = scans.reduce((sum, scan) => sum + scan.above[search]!, 0);
  if (above >= rank) {
    // Only NaN of the largest payload has the last key; nothing lies above it.
    if (window.high === keys) return { key: keys, ties: rank, equal: scans.map((scan) => scan.above[search]!) };
    return { next: { low: window.high, high: keys } };
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

function resolveLargest(scans: ScanResult[], search: number): Resolved {
  const own = scans.map((scan) => scan.histograms[search]!);
  const key = own.reduce((most, [largest]) => Math.max(most, largest!), 0);
  return { key, ties: 1, equal: own.map(([largest, count]) => (largest === key ? count! : 0)) };
}

function addTo(total: Float64Array | Uint32Array, counts: Uint32Array): void {
  for (let i = 0; i < total.length; i++) total[i]! += counts[i]!;
}

/** Where, in the order of entries, the last one lies that is equal to the key and comes no later than the place. */
async function locateTies(
  order: Order,
  tasks: Span[][],
  model: number,
  { key, ties, equal }: Resolved,
  run: RunTask,
): Promise<Place> {
  const total = equal.reduce((sum, count) => sum + count, 0);
  if (ties >= total || !order.tiesMatter) return { key, of: () => ({ key, tieEnd: Number.MAX_SAFE_INTEGER }) };
  let left = ties;
  const at = equal.findIndex((count) => {
    if (count >= left) return true;
    left -= count;
    return false;
  });
  const spans = tasks[at]!;
  const { naming } = order;
  const task: Task = { kind: 'locate', spans, model, naming, key, nth: left, survey: toSurvey(order, spans) };
  const end = await run<{ tensor: number; tieEnd: number }>(task);
  return {
    key,
    of: (tensor) => {
      if (tensor === end.tensor) return { key, tieEnd: end.tieEnd };
      return { key, tieEnd: tensor < end.tensor ? Number.MAX_SAFE_INTEGER : 0 };
    },
  };
}

/** Visits the items, `limit` at a time. */
export async function mapLimited<T>(items: T[], limit: number, visit: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await visit(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}
