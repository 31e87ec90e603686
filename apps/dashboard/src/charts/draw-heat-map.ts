import { colorAt } from './color-scale.js';
import { type Layout, labelFor } from './heat-map-layout.js';

export interface HeatRow {
  name: string;
  /** By column; what is not a number stays empty. */
  values: readonly number[];
}

/** Draws the cells, with the groups' names below them. `ink` is the colour of text. */
export function drawHeatMap(
  canvas: HTMLCanvasElement,
  layout: Layout,
  rows: readonly HeatRow[],
  [least, most]: readonly [number, number],
  ink: string,
): void {
  const scale = devicePixelRatio;
  canvas.width = Math.ceil(layout.width * scale);
  canvas.height = Math.ceil(layout.height * scale);
  const context = canvas.getContext('2d');
  if (context === null) return;
  context.scale(scale, scale);
  // Cells end on whole pixels of the screen, or seams would show.
  const snap = (at: number) => Math.round(at * scale) / scale;
  rows.forEach(({ values }, row) => {
    const top = snap(row * layout.cellHeight);
    const bottom = snap((row + 1) * layout.cellHeight - 1);
    layout.left.forEach((x, column) => {
      const value = values[column];
      if (value === undefined || !Number.isFinite(value)) return;
      const [r, g, b] = colorAt((value - least) / (most - least));
      context.fillStyle = `rgb(${r} ${g} ${b})`;
      context.fillRect(snap(x), top, snap(x + layout.cellWidth) - snap(x), bottom - top);
    });
  });
  context.fillStyle = ink;
  context.font = '11px system-ui, sans-serif';
  context.textBaseline = 'middle';
  context.textAlign = 'center';
  for (const { name, from, to } of layout.groups) {
    const begin = layout.left[from] ?? 0;
    const end = (layout.left[to] ?? 0) + layout.cellWidth;
    const text = labelFor(name, end - begin + 2, (candidate) => context.measureText(candidate).width);
    context.fillText(text, (begin + end) / 2, rows.length * layout.cellHeight + 9);
  }
}
