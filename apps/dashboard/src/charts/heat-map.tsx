import { type KeyboardEvent, type MouseEvent, useEffect, useId, useMemo, useRef, useState } from 'react';
import { showNumber } from '../format.js';
import { Scroll } from '../parts/section.js';
import { colorAt, extentOf } from './color-scale.js';
import { drawHeatMap, type HeatRow } from './draw-heat-map.js';
import type { Column } from './groups.js';
import { cellAt, layOut } from './heat-map-layout.js';
import { useDark, useWidth } from './use-screen.js';

interface HeatMapProps {
  label: string;
  columns: readonly Column[];
  rows: readonly HeatRow[];
  show?: (value: number) => string;
  /** More about a cell. */
  describe?: (column: number, row: number) => string;
}

/** Of the blocks' names; as --dim in styles.css. */
const INK = { light: '#566373', dark: '#9fadbb' };

const MOVES: Record<string, [number, number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/**
 * Values by tensor (across, by block) and model (down). Pointing at a cell, or going to it with the arrow keys, says what it is;
 * the same numbers are there as a table.
 */
export function HeatMap({ label, columns, rows, show = showNumber, describe }: HeatMapProps) {
  const [frame, room] = useWidth<HTMLDivElement>();
  const canvas = useRef<HTMLCanvasElement>(null);
  const [cell, setCell] = useState<{ column: number; row: number } | null>(null);
  const readoutId = useId();
  const dark = useDark();
  const layout = useMemo(() => layOut(columns, rows.length, room), [columns, rows.length, room]);
  const extent = useMemo(() => extentOf(rows.flatMap(({ values }) => values)), [rows]);

  useEffect(() => {
    if (canvas.current === null || room === 0) return;
    const began = performance.now();
    drawHeatMap(canvas.current, layout, rows, extent, dark ? INK.dark : INK.light);
    performance.measure('heat-map', { start: began });
  }, [layout, rows, extent, dark, room]);

  const point = (event: MouseEvent<HTMLCanvasElement>) => {
    const { left, top } = event.currentTarget.getBoundingClientRect();
    setCell(cellAt(layout, rows.length, event.clientX - left, event.clientY - top));
  };
  const move = (event: KeyboardEvent) => {
    const step = MOVES[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const clip = (value: number, count: number) => Math.min(count - 1, Math.max(0, value));
    setCell((now) =>
      now === null
        ? { column: 0, row: 0 }
        : { column: clip(now.column + step[0], columns.length), row: clip(now.row + step[1], rows.length) },
    );
  };
  const row = cell === null ? undefined : rows[cell.row];
  const value = cell === null ? undefined : row?.values[cell.column];
  const more = cell === null ? '' : (describe?.(cell.column, cell.row) ?? '');

  return (
    <div className="heat">
      <div className="heat-body">
        <ul className="heat-names" aria-hidden="true">
          {rows.map(({ name }) => (
            <li key={name} style={{ height: layout.cellHeight }} title={name}>
              {name}
            </li>
          ))}
        </ul>
        <div className="heat-scroll" ref={frame}>
          <div className="heat-canvas" style={{ width: layout.width, height: layout.height }}>
            <canvas
              ref={canvas}
              tabIndex={0}
              role="img"
              aria-label={`${label}: ${columns.length} tensors, ${rows.length} rows. Arrow keys go from cell to cell`}
              aria-describedby={readoutId}
              style={{ width: layout.width, height: layout.height }}
              onMouseMove={point}
              onMouseLeave={() => setCell(null)}
              onKeyDown={move}
            />
            {cell === null ? null : (
              <div
                className="heat-mark"
                style={{
                  left: layout.left[cell.column],
                  top: cell.row * layout.cellHeight,
                  width: layout.cellWidth,
                  height: layout.cellHeight - 1,
                }}
              />
            )}
          </div>
        </div>
      </div>
      <p className="heat-readout" id={readoutId} aria-live="polite">
        {cell === null || row === undefined ? (
          <span className="dim">Point at a cell to see its tensor and value.</span>
        ) : (
          <>
            <code>{columns[cell.column]?.name}</code> · {row.name}:{' '}
            <strong>{value === undefined || Number.isNaN(value) ? 'none' : show(value)}</strong>
            {more === '' ? null : <span className="dim"> · {more}</span>}
          </>
        )}
      </p>
      <Legend extent={extent} show={show} />
      <details>
        <summary>As a table</summary>
        <HeatTable label={label} columns={columns} rows={rows} show={show} />
      </details>
    </div>
  );
}

const LEGEND_STEPS = 48;

function Legend({ extent: [least, most], show }: { extent: readonly [number, number]; show(value: number): string }) {
  return (
    <div className="legend">
      <span>{show(least)}</span>
      <svg viewBox={`0 0 ${LEGEND_STEPS} 1`} preserveAspectRatio="none" aria-hidden="true">
        {Array.from({ length: LEGEND_STEPS }, (_, i) => {
          const [r, g, b] = colorAt(i / (LEGEND_STEPS - 1));
          return <rect key={`${r} ${g} ${b}`} x={i} width={1.1} height={1} fill={`rgb(${r} ${g} ${b})`} />;
        })}
      </svg>
      <span>{show(most)}</span>
    </div>
  );
}

function HeatTable({ label, columns, rows, show }: Required<Omit<HeatMapProps, 'describe'>>) {
  return (
    <Scroll label={`${label}, as a table`} tall>
      <table>
        <thead>
          <tr>
            <th scope="col">Tensor</th>
            {rows.map(({ name }) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {columns.map((column, i) => (
            <tr key={column.name}>
              <th scope="row">
                <code>{column.name}</code>
              </th>
              {rows.map(({ name, values }) => {
                const value = values[i];
                return <td key={name}>{value === undefined || Number.isNaN(value) ? '–' : show(value)}</td>;
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
