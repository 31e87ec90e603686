import { useVirtualizer } from '@tanstack/react-virtual';
import { useEffect, useRef } from 'react';
import { showBytes } from '../../format.js';
import { showShape } from '../dataset-tensors.js';
import { COLUMNS, type Column, type Order, type Row } from './sort-tensors.js';

const ROW_PX = 32;
const BESIDE = 12;

const TITLES: Record<Column, string> = {
  name: 'Tensor',
  dtype: 'Dtype',
  shape: 'Shape',
  elements: 'Size',
  file: 'File',
};

interface TensorTableProps {
  rows: readonly Row[];
  order: Order;
  onOrder(order: Order): void;
  chosen: string | null;
  /** The address where a tensor is chosen. */
  place(tensor: string): string;
}

/** Any number of rows, of which only those in view are drawn. */
export function TensorTable({ rows, order, onOrder, chosen, place }: TensorTableProps) {
  const box = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PX,
    overscan: BESIDE,
  });
  // Another order or search begins at its top.
  useEffect(() => {
    if (rows.length > 0) box.current?.scrollTo(0, 0);
  }, [rows]);
  const items = virtual.getVirtualItems();
  const before = items[0]?.start ?? 0;
  const after = virtual.getTotalSize() - (items.at(-1)?.end ?? 0);
  return (
    <section className="tensor-scroll" aria-label="All tensors" ref={box}>
      <table className="tensors" aria-rowcount={rows.length + 1}>
        <thead>
          <tr aria-rowindex={1}>
            {COLUMNS.map((column) => (
              <th
                key={column}
                scope="col"
                className={`cell-${column}`}
                aria-sort={order.column !== column ? 'none' : order.down ? 'descending' : 'ascending'}
              >
                <button type="button" onClick={() => onOrder({ column, down: order.column === column && !order.down })}>
                  {TITLES[column]}
                  <span aria-hidden="true">{order.column !== column ? '' : order.down ? ' ↓' : ' ↑'}</span>
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <Gap height={before} />
          {items.map(({ index }) => {
            const row = rows[index];
            if (row === undefined) return null;
            return (
              <tr key={row.name} aria-rowindex={index + 2} className={row.name === chosen ? 'chosen' : undefined}>
                <th scope="row" className="cell-name" title={row.name}>
                  <a href={place(row.name)} aria-current={row.name === chosen ? 'true' : undefined}>
                    {row.name}
                  </a>
                </th>
                <td className="cell-dtype">{row.dtype}</td>
                <td className="cell-shape">{showShape(row.shape)}</td>
                <td className="cell-elements">{showBytes(row.bytes)}</td>
                <td className="cell-file" title={row.file}>
                  {row.file}
                </td>
              </tr>
            );
          })}
          <Gap height={after} />
        </tbody>
      </table>
    </section>
  );
}

/** In the place of the rows that are not in view. */
function Gap({ height }: { height: number }) {
  return height <= 0 ? null : (
    <tr className="gap">
      <td style={{ height }} />
    </tr>
  );
}
