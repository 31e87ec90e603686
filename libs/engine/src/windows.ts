import { AmalgamError } from '@amalgam/contracts';
import type { ScanResult, Span, Window } from './job.js';
import { type Place, placeAt } from './order.js';

/** Bins of a window that cannot have one for each key: small enough to be sent around for nothing. */
const COARSE_BINS = 2 ** 12;

/** A bin of several keys also says in which bits they differ from its first. */
export function wordsOfBin(shift: number): number {
  return shift === 0 ? 1 : 2;
}

/** What a search may hold in memory. */
export interface Room {
  /** Bins of a window, in each task. */
  bins: number;
  /** Listed entries of a search, of all tasks together, and how many tasks there are. A task lists no more than its share. */
  entries: number;
  tasks: number;
}

/** A range [low, high) of a model's keys, and how many entries it has, about; infinite: not known. */
export interface Range {
  model: number;
  low: number;
  high: number;
  entries: number;
}

/** Keys on a lattice, as differences of bfloat16 are: a list of fewer is sooner looked through than they are counted and found again. */
const SHORT_LIST = 2 ** 14;
/** Entries there are for each bin: the fewer, the likelier is it that those of the bin that matters are of one key. */
const BIN_ENTRIES = 64;

/**
 * A list where there is room, a bin for each key where there are few, else few bins for a first look. `common`: as Window says; where there is
 * one, bins of several keys mostly have entries of one of them only, and say so.
 */
export function toWindow({ model, low, high, entries }: Range, room: Room, common = -1): Window {
  if (entries <= (common >= 0 ? Math.min(SHORT_LIST, room.entries) : room.entries)) {
    return {
      kind: 'list',
      model,
      low,
      high,
      most: Math.min(Math.ceil(entries), Math.floor(room.entries / room.tasks)),
    };
  }
  const most = common < 0 ? COARSE_BINS : Math.min(Math.max(entries / BIN_ENTRIES, COARSE_BINS), room.bins / 2);
  const shift = high - low <= room.bins ? 0 : Math.max(0, Math.ceil(Math.log2((high - low) / most)));
  const isIn = common >= low && common < high;
  return {
    kind: 'counts',
    model,
    low,
    high,
    shift,
    bins: Math.ceil((high - low) / 2 ** shift),
    common: isIn ? common : -1,
  };
}

export interface Resolved {
  key: number;
  /** Entries equal to it that come no later than the place, and how many there are by task. */
  ties: number;
  equal: number[];
}

/** What lies at a place, or where to look next. */
export type Outcome = { next: Range } | { place: Place } | Resolved;

/** What a task of a scan found. */
export interface Scan {
  spans: Span[];
  result: ScanResult;
}

/** What the scans of a window say of the entry that `rank` entries lie up to. */
export function resolve(window: Window, rank: number, scans: Scan[], search: number, lastKey: number): Outcome {
  const own = scans.map(({ result }) => result.words[search]!);
  if (window.kind === 'largest') return resolveLargest(own as Uint32Array[]);
  const { model, low, high } = window;
  // Lists that had not enough room: the sample was misleading.
  if (own.some((words) => words === null)) return { next: { model, low, high, entries: Number.POSITIVE_INFINITY } };
  const above = scans.map(({ result }) => result.above[search]!);
  const left = rank - sum(above);
  if (left <= 0) {
    // Only NaN of the largest payload has the last key; nothing lies above it.
    if (high === lastKey) return { key: lastKey, ties: rank, equal: above };
    return { next: { model, low: high, high: lastKey, entries: Number.POSITIVE_INFINITY } };
  }
  const lists = own as Uint32Array[];
  const found = window.kind === 'list' ? inLists(window, left, scans, lists) : inBins(window, left, lists);
  if (found !== null) return found;
  if (low === 0) {
    throw new AmalgamError(
      'checkpoint_changed',
      'an input changed while it was merged: entries counted before are gone',
    );
  }
  return { next: { model, low: 0, high: low, entries: Number.POSITIVE_INFINITY } };
}

function inBins(window: Window & { kind: 'counts' }, rank: number, bins: Uint32Array[]): Outcome | null {
  const { model, shift, high } = window;
  const words = wordsOfBin(shift);
  const total = new Float64Array(window.bins);
  for (const own of bins) for (let bin = 0; bin < total.length; bin++) total[bin]! += own[bin * words]!;
  let left = rank;
  for (let bin = window.bins - 1; bin >= 0; bin--) {
    const entries = total[bin]!;
    if (entries >= left) {
      const low = window.low + bin * 2 ** shift;
      const isOneKey = shift === 0 || bins.every((own) => own[bin * 2 + 1] === 0);
      if (!isOneKey) return { next: { model, low, high: Math.min(high, low + 2 ** shift), entries } };
      return { key: low, ties: left, equal: bins.map((own) => own[bin * words]!) };
    }
    left -= entries;
  }
  return null;
}

function inLists(window: Window & { kind: 'list' }, rank: number, scans: Scan[], lists: Uint32Array[]): Outcome | null {
  if (sum(lists.map((list) => list.length / 2)) < rank) return null;
  let { low, high } = window;
  let left = rank;
  while (high - low > 1) {
    const shift = Math.max(0, Math.ceil(Math.log2((high - low) / COARSE_BINS)));
    const bins = new Uint32Array(Math.ceil((high - low) / 2 ** shift));
    for (const list of lists) {
      for (let at = 0; at < list.length; at += 2) {
        const key = list[at]!;
        if (key >= low && key < high) bins[(key - low) >>> shift]!++;
      }
    }
    let bin = bins.length - 1;
    for (; bins[bin]! < left; bin--) left -= bins[bin]!;
    low += bin * 2 ** shift;
    high = Math.min(high, low + 2 ** shift);
  }
  for (const [task, list] of lists.entries()) {
    for (let at = 0; at < list.length; at += 2) {
      if (list[at] === low && --left === 0) return { place: placeAt(low, scans[task]!.spans, list[at + 1]! + 1) };
    }
  }
  return null;
}

function resolveLargest(own: Uint32Array[]): Resolved {
  const key = own.reduce((most, [largest]) => Math.max(most, largest!), 0);
  return { key, ties: 1, equal: own.map(([largest, count]) => (largest === key ? count! : 0)) };
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, x) => total + x, 0);
}
