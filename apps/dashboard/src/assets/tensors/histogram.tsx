import type { TensorHistogram } from '@amalgam/contracts';
import { useState } from 'react';
import { client } from '../../api.js';
import { ticksOf } from '../../charts/axis.js';
import { useWidth } from '../../charts/use-screen.js';
import { showCount, showNumber, showShare } from '../../format.js';
import { Empty, Loading, TroubleNote } from '../../parts/notes.js';
import { useLive } from '../../use-live.js';
import { showShape } from '../dataset-tensors.js';

const BINS = 96;

interface HistogramProps {
  checkpointId: string;
  tensor: string;
  /** Where the page is without it. */
  closeHref: string;
}

/** How the values of one tensor are spread. */
export function Histogram({ checkpointId, tensor, closeHref }: HistogramProps) {
  const { data, trouble } = useLive(
    `${checkpointId} ${tensor}`,
    (signal) => client.checkpoints.histogram(checkpointId, tensor, { bins: BINS }, { signal }),
    0,
  );
  return (
    <section className="histogram" aria-label={`Values of ${tensor}`}>
      <div className="line">
        <h3>{tensor}</h3>
        <a className="histogram-close" href={closeHref}>
          Close
        </a>
      </div>
      {trouble === null ? null : <TroubleNote trouble={trouble} />}
      {data === undefined && trouble === null ? <Loading /> : null}
      {data === undefined ? null : <Spread histogram={data} />}
    </section>
  );
}

function Spread({ histogram }: { histogram: TensorHistogram }) {
  const { dtype, shape, elements, counted, not_finite, zeros, min, max, mean, std, counts } = histogram;
  const facts: [string, string][] = [
    ['Shape', `${showShape(shape)} ${dtype}`],
    ['Least', min === null ? '–' : showNumber(min)],
    ['Greatest', max === null ? '–' : showNumber(max)],
    ['Mean', mean === null ? '–' : showNumber(mean)],
    ['Deviation', std === null ? '–' : showNumber(std)],
    ['Zeros', counted === 0 ? '–' : showShare(zeros / counted)],
  ];
  return (
    <>
      <dl className="pairs">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {not_finite === 0 ? null : (
        <p className="note warn">{showCount(not_finite, 'value')} of it: NaN or infinite, and left out here.</p>
      )}
      {min === null || max === null ? (
        <Empty>It has no finite values.</Empty>
      ) : (
        <Bars min={min} max={max} counts={counts} />
      )}
      {counted === elements ? null : (
        <p className="dim">
          From {showShare(counted / elements)} of its {showCount(elements, 'value')}, in blocks spread evenly over it.
        </p>
      )}
    </>
  );
}

const HEIGHT = 180;
const MARGIN = { left: 56, right: 12, top: 8, bottom: 22 };

function Bars({ min, max, counts }: Pick<TensorHistogram, 'counts'> & { min: number; max: number }) {
  const [frame, width] = useWidth<HTMLDivElement>();
  const [at, setAt] = useState<number | null>(null);
  const most = Math.max(...counts);
  const [left, right] = [MARGIN.left, Math.max(MARGIN.left + 1, width - MARGIN.right)];
  const [top, bottom] = [MARGIN.top, HEIGHT - MARGIN.bottom];
  const step = (right - left) / counts.length;
  const toY = (count: number) => bottom - (count / most) * (bottom - top);
  const edge = (i: number) => min + ((max - min) * i) / counts.length;
  const toX = (value: number) =>
    min === max ? (left + right) / 2 : left + ((value - min) / (max - min)) * (right - left);
  const index = at ?? counts.indexOf(most);
  const values = showCount(counts[index] ?? 0, 'value');
  return (
    <div className="chart" ref={frame}>
      <svg
        width={width}
        height={HEIGHT}
        role="img"
        aria-label={`Histogram of ${counts.length} bins from ${showNumber(min)} to ${showNumber(max)}; the fullest one has ${showCount(most, 'value')}`}
        onMouseMove={(event) => {
          const x = event.clientX - event.currentTarget.getBoundingClientRect().left - left;
          setAt(Math.max(0, Math.min(counts.length - 1, Math.floor(x / step))));
        }}
        onMouseLeave={() => setAt(null)}
      >
        {ticksOf(0, most, 4).map((tick) => (
          <g key={tick}>
            <line className="grid" x1={left} x2={right} y1={toY(tick)} y2={toY(tick)} />
            <text x={left - 6} y={toY(tick)} textAnchor="end" dominantBaseline="middle">
              {showNumber(tick)}
            </text>
          </g>
        ))}
        {(min === max ? [min] : ticksOf(min, max, Math.max(4, Math.floor(width / 110)))).map((tick) => (
          <text key={tick} x={toX(tick)} y={HEIGHT - 6} textAnchor="middle">
            {showNumber(tick)}
          </text>
        ))}
        <path
          className="bins"
          d={counts.map((count, i) => barPath(left + i * step, toY(count), step, bottom)).join('')}
        />
        {at === null ? null : (
          <path className="bins here" d={barPath(left + at * step, toY(counts[at] ?? 0), step, bottom)} />
        )}
      </svg>
      <p className="dim">
        {at === null ? 'Most' : 'Here'}: {values} from {showNumber(edge(index))} to {showNumber(edge(index + 1))}
      </p>
    </div>
  );
}

function barPath(x: number, y: number, step: number, bottom: number): string {
  return `M${x.toFixed(2)} ${bottom}V${y.toFixed(2)}h${Math.max(0.5, step - 0.5).toFixed(2)}V${bottom}Z`;
}
