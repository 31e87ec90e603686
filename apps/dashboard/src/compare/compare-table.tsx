import type { ReactNode } from 'react';
import { Scroll } from '../parts/section.js';

/** What is compared: a column for each merge. */
export interface Compared {
  id: string;
  name: string;
}

interface CompareTableProps {
  label: string;
  merges: readonly Compared[];
  rows: readonly { name: string; cells: readonly ReactNode[] }[];
  /** Are the rows' names code? */
  code?: boolean;
}

/** A row for each thing that is compared, a column for each merge. */
export function CompareTable({ label, merges, rows, code = false }: CompareTableProps) {
  return (
    <Scroll label={label}>
      <table className="compare">
        <thead>
          <tr>
            <td />
            {merges.map(({ id, name }) => (
              <th key={id} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ name, cells }) => (
            <tr key={name}>
              <th scope="row">{code ? <code>{name}</code> : name}</th>
              {merges.map(({ id }, i) => (
                <td key={id}>{cells[i]}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  );
}
