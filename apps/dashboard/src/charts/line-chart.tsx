import { type MouseEvent, useMemo, useState } from 'react';
import { showNumber } from '../format.js';
import { movingMean, thin, ticksOf } from './axis.js';
import { extentOf } from './color-scale.js';
import { useWidth } from './use-screen.js';

interface Line {
  name: string;
  y: readonly number[];
}

interface LineChartProps {
  label: string;
  /** Ascending. */
  x: readonly number[];
  xName: string;
  lines: readonly Line[];
  /** Draws the mean of so many points, and the points themselves faintly; 1 draws only these. */
  window?: number;
}

const HEIGHT = 200;
const MARGIN = { left: 48, right: 10, top: 8, bottom: 24 };
/** More points than that are more than pixels. */
const MOST_POINTS = 800;
/** Lines take the colours of the style sheet in turn. */
const COLORS = 8;

/** Lines over a common axis; pointing at a place shows their values there. The legend tells the latest ones. */
export function LineChart({ label, x, xName, lines: given, window = 1 }: LineChartProps) {
  const [frame, width] = useWidth<HTMLDivElement>();
  const [at, setAt] = useState<number | null>(null);
  const lines = useMemo(() => {
    return window === 1 ? given : given.map(({ name, y }) => ({ name, y: movingMean(y, window) }));
  }, [given, window]);
  const [left, right] = [MARGIN.left, Math.max(MARGIN.left + 1, width - MARGIN.right)];
  const [top, bottom] = [MARGIN.top, HEIGHT - MARGIN.bottom];
  const [xLeast, xMost] = useMemo(
    () => (x.length < 2 ? [x[0] ?? 0, (x[0] ?? 0) + 1] : [x[0] ?? 0, x.at(-1) ?? 1]),
    [x],
  );
  const [yLeast, yMost] = useMemo(() => extentOf(given.flatMap(({ y }) => y)), [given]);
  const toX = (value: number) => left + ((value - xLeast) / (xMost - xLeast)) * (right - left);
  const toY = (value: number) => bottom - ((value - yLeast) / (yMost - yLeast)) * (bottom - top);
  const chosen = thin(x.length, MOST_POINTS);
  const pathOf = ({ y }: Line) =>
    chosen.map((i, k) => `${k === 0 ? 'M' : 'L'}${toX(x[i] ?? 0).toFixed(1)} ${toY(y[i] ?? 0).toFixed(1)}`).join('');

  const point = (event: MouseEvent<SVGSVGElement>) => {
    const place = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const wanted = xLeast + ((place - left) / (right - left)) * (xMost - xLeast);
    const after = x.findIndex((value) => value >= wanted);
    const before = Math.max(0, (after < 0 ? x.length : after) - 1);
    const next = after < 0 ? x.length - 1 : after;
    setAt(Math.abs((x[before] ?? 0) - wanted) < Math.abs((x[next] ?? 0) - wanted) ? before : next);
  };
  const index = at === null ? x.length - 1 : Math.min(at, x.length - 1);
  const here = x[index] ?? 0;
  const summary = lines.map(({ name, y }) => `${name} from ${showNumber(y[0] ?? 0)} to ${showNumber(y.at(-1) ?? 0)}`);

  return (
    <div className="chart" ref={frame}>
      <svg
        width={width}
        height={HEIGHT}
        role="img"
        aria-label={`${label}, ${xName} ${xLeast} to ${x.at(-1) ?? 0}: ${summary.join('; ')}`}
        onMouseMove={point}
        onMouseLeave={() => setAt(null)}
      >
        {ticksOf(yLeast, yMost, 4).map((tick) => (
          <g key={tick}>
            <line className="grid" x1={left} x2={right} y1={toY(tick)} y2={toY(tick)} />
            <text x={left - 6} y={toY(tick)} textAnchor="end" dominantBaseline="middle">
              {showNumber(tick)}
            </text>
          </g>
        ))}
        {ticksOf(xLeast, xMost, Math.max(2, Math.floor(width / 90)))
          .filter(Number.isInteger)
          .map((tick) => (
            <text key={tick} x={toX(tick)} y={HEIGHT - 6} textAnchor="middle">
              {tick}
            </text>
          ))}
        {window === 1
          ? null
          : given.map((line, i) => <path key={line.name} className={`raw line-${i % COLORS}`} d={pathOf(line)} />)}
        {lines.map((line, i) => (
          <path key={line.name} className={`line-${i % COLORS}`} d={pathOf(line)} />
        ))}
        {x.length < 2 || at !== null
          ? lines.map(({ name, y }, i) => (
              <circle key={name} className={`dot-${i % COLORS}`} cx={toX(here)} cy={toY(y[index] ?? 0)} r={3} />
            ))
          : null}
        {at === null ? null : <line className="cross" x1={toX(here)} x2={toX(here)} y1={top} y2={bottom} />}
      </svg>
      <ul className="chart-legend">
        <li className="dim">
          {xName} {here}
          {window === 1 ? '' : `, mean of ${window}`}
        </li>
        {lines.map(({ name, y }, i) => (
          <li key={name}>
            <span className={`swatch swatch-${i % COLORS}`} aria-hidden="true" /> {name}{' '}
            <strong>{showNumber(y[index] ?? Number.NaN)}</strong>
          </li>
        ))}
      </ul>
    </div>
  );
}
