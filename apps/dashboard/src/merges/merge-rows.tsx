import type { Merge } from '@amalgam/contracts';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { secondsBetween, showSeconds } from '../format.js';
import { MergeProgress } from '../parts/merge-progress.js';
import { Time, useNow } from '../parts/time.js';
import { hrefOf } from '../router.js';

/** Of a row with a name and an id, in pixels; rows that differ are measured. */
const USUAL_HEIGHT = 62;
/** Rows that are kept ready above and below the window. */
const SPARE = 12;
const COLUMNS = 7;

interface MergeRowsProps {
  rows: readonly Merge[];
  chosen: ReadonlySet<string>;
  onChoose(ids: readonly string[], chosen: boolean): void;
  /** The end of the list comes into view. */
  onEnd(): void;
}

/** The table of merges. Only the rows in view are there, so that ten thousand scroll like ten. */
export function MergeRows({ rows, chosen, onChoose, onEnd }: MergeRowsProps) {
  const table = useRef<HTMLTableElement>(null);
  const [top, setTop] = useState(0);
  useLayoutEffect(() => setTop((table.current?.getBoundingClientRect().top ?? 0) + scrollY), []);
  const virtualizer = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => USUAL_HEIGHT,
    overscan: SPARE,
    scrollMargin: top,
    getItemKey: (i) => rows[i]?.id ?? i,
  });
  const items = virtualizer.getVirtualItems();
  const before = (items[0]?.start ?? top) - top;
  const after = virtualizer.getTotalSize() - ((items.at(-1)?.end ?? top) - top);
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (last >= rows.length - SPARE) onEnd();
  }, [last, rows.length, onEnd]);
  const all = rows.length > 0 && rows.every(({ id }) => chosen.has(id));
  return (
    <table className="card merges" ref={table} aria-rowcount={rows.length + 1}>
      <thead>
        <tr>
          <th scope="col" className="choose">
            <input
              type="checkbox"
              aria-label="Choose all"
              checked={all}
              onChange={() =>
                onChoose(
                  rows.map(({ id }) => id),
                  !all,
                )
              }
            />
          </th>
          <th scope="col">Merge</th>
          <th scope="col">State</th>
          <th scope="col" className="wide">
            Method
          </th>
          <th scope="col" className="wide">
            Tasks
          </th>
          <th scope="col">Created</th>
          <th scope="col" className="wide">
            Took
          </th>
        </tr>
      </thead>
      <tbody>
        <Room height={before} />
        {items.map(({ index, key }) => {
          const merge = rows[index];
          return merge === undefined ? null : (
            <tr key={key} ref={virtualizer.measureElement} data-index={index} aria-rowindex={index + 2}>
              <Cells
                merge={merge}
                choose={
                  <input
                    type="checkbox"
                    aria-label={`Choose ${merge.name ?? merge.id}`}
                    checked={chosen.has(merge.id)}
                    onChange={(event) => onChoose([merge.id], event.target.checked)}
                  />
                }
              />
            </tr>
          );
        })}
        <Room height={after} />
      </tbody>
    </table>
  );
}

/** In the place of rows that are not there. */
function Room({ height }: { height: number }) {
  if (height <= 0) return null;
  return (
    <tr className="room">
      <td colSpan={COLUMNS} style={{ height }} />
    </tr>
  );
}

function Cells({ merge, choose }: { merge: Merge; choose: ReactNode }) {
  const tasks = merge.recipe.tasks?.map(({ name }) => name) ?? [];
  return (
    <>
      <td className="choose">{choose}</td>
      <th scope="row">
        <a href={hrefOf(['merges', merge.id])}>{merge.name ?? merge.id}</a>
        {merge.name === null ? null : <div className="dim id wide">{merge.id}</div>}
        <div className="dim narrow">{merge.method}</div>
      </th>
      <td>
        <MergeProgress merge={merge} />
      </td>
      <td className="wide">{merge.method}</td>
      <td className="wide" title={tasks.join(', ')}>
        {tasks.length === 0 ? <span className="dim">none</span> : tasks.length}
      </td>
      <td>
        <Time at={merge.created_at} />
      </td>
      <td className="wide">
        <Took merge={merge} />
      </td>
    </>
  );
}

function Took({ merge: { started_at, finished_at, state } }: { merge: Merge }) {
  const now = useNow();
  const seconds = secondsBetween(started_at, finished_at, now);
  // A merge that went back to the queue keeps the time of its first start.
  if (seconds === null || state === 'queued') return <span className="dim">–</span>;
  return showSeconds(finished_at === null ? Math.round(seconds) : seconds);
}
