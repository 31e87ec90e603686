import type { Column } from './groups.js';

/** Where things are on a heat map, in CSS pixels. */
export interface Layout {
  width: number;
  height: number;
  /** Left edge of each column. */
  left: number[];
  cellWidth: number;
  cellHeight: number;
  /** First and last column of each group. */
  groups: { name: string; from: number; to: number }[];
}

const LEAST_CELL = 4;
const MOST_CELL = 48;
const GROUP_GAP = 3;
const LABELS = 18;

/** Columns as wide as `room` allows, from 4 to 48 pixels; a wider map scrolls. */
export function layOut(columns: readonly Column[], rows: number, room: number): Layout {
  const groups: Layout['groups'] = [];
  columns.forEach(({ group }, i) => {
    const last = groups.at(-1);
    if (last?.name === group) last.to = i;
    else groups.push({ name: group, from: i, to: i });
  });
  const gaps = Math.max(0, groups.length - 1) * GROUP_GAP;
  const cellWidth = Math.min(MOST_CELL, Math.max(LEAST_CELL, (room - gaps) / Math.max(1, columns.length)));
  const cellHeight = rows > 12 ? 16 : 22;
  const left: number[] = [];
  groups.forEach(({ from, to }, group) => {
    for (let i = from; i <= to; i++) left.push(i * cellWidth + group * GROUP_GAP);
  });
  return {
    width: columns.length * cellWidth + gaps,
    height: rows * cellHeight + LABELS,
    left,
    cellWidth,
    cellHeight,
    groups,
  };
}

/** The cell at a point; null beside the cells. */
export function cellAt(layout: Layout, rows: number, x: number, y: number): { column: number; row: number } | null {
  const row = Math.floor(y / layout.cellHeight);
  const column = layout.left.findLastIndex((left) => left <= x);
  if (row < 0 || row >= rows || column < 0 || x > (layout.left[column] ?? 0) + layout.cellWidth) return null;
  return { column, row };
}

/** The longest of a group's names that is not wider than the group: `encoder.blocks.3`, `blocks.3`, `3`, or nothing. */
export function labelFor(name: string, room: number, measure: (text: string) => number): string {
  const parts = name.split(/[./]/);
  const candidates = parts.map((_, i) => parts.slice(i).join('.'));
  return candidates.find((text) => measure(text) <= room) ?? '';
}
