import type { ReactNode } from 'react';
import { Scroll } from './section.js';

interface ScrollTableProps {
  label: string;
  /** Heads of the columns. */
  columns: readonly string[];
  tall?: boolean;
  /** Rows of the body. */
  children: ReactNode;
}

/** A table that scrolls by itself where it is wider than the page. */
export function ScrollTable({ label, columns, tall = false, children }: ScrollTableProps) {
  return (
    <Scroll label={label} tall={tall}>
      <table>
        <thead>
          <tr>
            {columns.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </Scroll>
  );
}
