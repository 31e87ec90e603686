import type { Dataset } from '@amalgam/contracts';
import { showBytes } from '../format.js';
import { ScrollTable } from '../parts/scroll-table.js';
import { Section } from '../parts/section.js';

/** What a row of a dataset consists of. */
export function DatasetTensors({ dataset }: { dataset: Dataset }) {
  return (
    <Section title="Tensors">
      <ScrollTable label="Tensors" columns={['Name', 'Dtype', 'Shape', 'Size']}>
        {dataset.tensors.map(({ name, dtype, shape, bytes }) => (
          <tr key={name}>
            <th scope="row">
              <code>{name}</code>
            </th>
            <td>{dtype}</td>
            <td>{showShape(shape)}</td>
            <td>{showBytes(bytes)}</td>
          </tr>
        ))}
      </ScrollTable>
    </Section>
  );
}

export function showShape(shape: readonly (number | string | null)[]): string {
  return shape.length === 0 ? 'scalar' : shape.map((size) => size ?? '?').join(' × ');
}
