import { firstWindows } from './first-windows.js';
import { allOrFirstFailure } from './gather.js';
import type { Job, ScanResult, Span, Task, Window } from './job.js';
import {
  type Group,
  lastKey,
  type Order,
  type Place,
  type RunTask,
  type Search,
  toRank,
  toSurvey,
  withAllEquals,
} from './order.js';
import { toTasks } from './spans.js';
import { type Resolved, type Room, resolve, type Scan, toWindow, wordsOfBin } from './windows.js';

export type { RunTask } from './order.js';

/** Tasks that a group is scanned in; each has a histogram, so that ties are found by scanning one task again. */
const GROUP_TASKS = 16;
/** Groups that are searched side by side. */
export const GROUPS_AT_ONCE = 4;
/** A task's bins are 32 bits wide, and all of its entries may be equal. */
const MOST_TASK_ELEMENTS = 2 ** 31;

/**
 * Finds exact places without sorting and without holding the model: a sample says where to look, and one pass counts what lies above
 * and lists the few entries that the places may be, or counts their keys where they are many. Should a true place lie elsewhere, the
 * search goes on from the counts; the result never depends on the sample. Among entries equal to what lies at a place those of lowest
 * index come first; where they were counted only, one more look at a part of the elements finds where they end. Null: there is no such
 * place.
 *
 * @throws AmalgamError `checkpoint_changed`
 */
export async function searchGroup(
  job: Job,
  order: Order,
  group: Group,
  searches: Search[],
  bytes: number,
  run: RunTask,
): Promise<(Place | null)[]> {
  if (group.elements === 0) return searches.map(() => ({ key: 0, tensor: 0, end: 0 }));
  const tasks = toTasks(group.tensors, job.chunkElements, scanTarget(group.elements, job.chunkElements));
  const { naming, tiesMatter } = order;
  // Which task has how many equals tells where ties end. Where that does not matter one histogram serves for all tasks.
  const isJoined = !tiesMatter && group.elements < 2 ** 32;
  const room: Room = {
    bins: isJoined
      ? Math.floor(bytes / 32 / searches.length)
      : 2 ** Math.min(18, Math.floor(Math.log2(bytes / 4 / (tasks.length * searches.length)))),
    // Eight bytes an entry, in a thread and here.
    entries: Math.floor(bytes / 8 / searches.length),
    tasks: tasks.length,
  };

  const found: (Place | null)[] = searches.map(() => null);
  // Those of a share are known once all entries that are not 0 are counted, which the first scan does.
  const ranks = searches.map(({ rank }) => (typeof rank === 'number' ? rank : undefined));
  let windows = (await firstWindows(order, group, searches, room, run)).map((first, i): Window | null => {
    if (first === null || 'kind' in first) return first;
    found[i] = first;
    return null;
  });
  while (windows.some((window) => window !== null)) {
    // Joined bins are many: no task's may be kept by themselves, beside lists.
    const current = isJoined && windows.some((window) => window?.kind === 'counts') ? counted(windows, room) : windows;
    const countsNonzero = current.some((window, i) => window !== null && ranks[i] === undefined);
    const running = tasks.map(async (spans): Promise<Scan> => {
      const survey = toSurvey(order, spans);
      const task: Task = { kind: 'scan', spans, windows: current, naming, survey, countsNonzero };
      return { spans, result: await run<ScanResult>(task) };
    });
    const scans =
      isJoined && !current.some((window) => window?.kind === 'list')
        ? [await join(running, current)]
        : await Promise.all(running);
    windows = await Promise.all(
      current.map(async (window, i) => {
        if (window === null) return null;
        const nonzero = scans.reduce((sum, { result }) => sum + result.nonzero[i]!, 0);
        const rank = ranks[i] ?? toRank(searches[i]!.rank, nonzero);
        if (rank === null) return null;
        ranks[i] = rank;
        const outcome = resolve(window, rank, scans, i, lastKey(order));
        if ('next' in outcome) return toWindow(outcome.next, room);
        found[i] = 'place' in outcome ? outcome.place : await locateTies(order, tasks, window.model, outcome, run);
        return null;
      }),
    );
  }
  return found.map((place) => (tiesMatter || place === null ? place : withAllEquals(place.key)));
}

/** Counts instead of lists. */
function counted(windows: (Window | null)[], room: Room): (Window | null)[] {
  return windows.map((window) =>
    window?.kind === 'list' ? toWindow({ ...window, entries: Number.POSITIVE_INFINITY }, room) : window,
  );
}

/** The counts of a scan's tasks as if it had one, added up as they come. */
async function join(running: Promise<Scan>[], windows: (Window | null)[]): Promise<Scan> {
  let all: Scan | undefined;
  await allOrFirstFailure(
    running.map(async (task) => {
      const next = await task;
      if (all === undefined) all = next;
      else addScan(all.result, next.result, windows);
    }),
  );
  return all!;
}

function addScan(to: ScanResult, next: ScanResult, windows: (Window | null)[]): void {
  windows.forEach((window, i) => {
    const [sums, own] = [to.words[i], next.words[i]];
    if (window === null || !sums || !own) return;
    to.above[i]! += next.above[i]!;
    to.nonzero[i]! += next.nonzero[i]!;
    if (window.kind === 'counts') addBins(sums, own, wordsOfBin(window.shift));
    else if (own[0]! > sums[0]!) sums.set(own);
    else if (own[0] === sums[0]) sums[1]! += own[1]!;
  });
}

function addBins(sums: Uint32Array, own: Uint32Array, words: number): void {
  for (let at = 0; at < sums.length; at += words) sums[at]! += own[at]!;
  if (words === 2) for (let at = 1; at < sums.length; at += 2) sums[at]! |= own[at]!;
}

/** Elements of a task of a scan. A group of one small tensor is one task. */
export function scanTarget(elements: number, chunkElements: number): number {
  return Math.min(Math.max(Math.ceil(elements / GROUP_TASKS), 4 * chunkElements), MOST_TASK_ELEMENTS);
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
  if (ties >= total || !order.tiesMatter) return withAllEquals(key);
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
  return { key, tensor: end.tensor, end: end.tieEnd };
}

/** Visits the items, `limit` at a time. */
export async function mapLimited<T>(items: T[], limit: number, visit: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await visit(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}
