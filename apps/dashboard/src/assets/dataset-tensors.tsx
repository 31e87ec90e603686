import type { Dataset } from '@amalgam/contracts';
import { showBytes } from '../format.js';
import { Scroll, Section } from '../parts/section.js';

/** What a row of a dataset consists of. */
export function DatasetTensors({ dataset }: { dataset: Dataset }) {
  return (
    <Section title="Tensors">
      <Scroll label="Tensors">
        <table>
          <thead>
            <tr>
              <th scope="col">Name</th>
              <th scope="col">Dtype</th>
              <th scope="col">Shape</th>
              <th scope="col">Size</th>
            </tr>
          </thead>
          <tbody>
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
          </tbody>
        </table>
      </Scroll>
    </Section>
  );
}

export function showShape(shape: readonly (number | string | null)[]): string {
  return shape.length === 0 ? 'scalar' : shape.map((size) => size ?? '?').join(' × ');
}
