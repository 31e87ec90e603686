import type { Graph } from '@amalgam/contracts';
import { ScrollTable } from '../parts/scroll-table.js';
import { Section } from '../parts/section.js';
import { showShape } from './dataset-tensors.js';

/** What a graph takes, what it gives, and of which operators it consists. */
export function GraphContents({ graph }: { graph: Graph }) {
  const operators = Object.entries(graph.operators).sort(([, a], [, b]) => b - a);
  return (
    <div className="columns">
      <Section title="Inputs and outputs">
        <ScrollTable label="Inputs and outputs" columns={['Name', 'Is', 'Dtype', 'Shape']}>
          {graph.inputs.map((value) => (
            <Value key={`in ${value.name}`} is="input" value={value} />
          ))}
          {graph.outputs.map((value) => (
            <Value key={`out ${value.name}`} is="output" value={value} />
          ))}
        </ScrollTable>
      </Section>
      <Section title="Operators">
        <ScrollTable label="Operators" columns={['Operator', 'Nodes']} tall>
          {operators.map(([name, nodes]) => (
            <tr key={name}>
              <th scope="row">
                <code>{name}</code>
              </th>
              <td>{nodes}</td>
            </tr>
          ))}
        </ScrollTable>
      </Section>
    </div>
  );
}

function Value({ is, value: { name, dtype, shape } }: { is: string; value: Graph['inputs'][number] }) {
  return (
    <tr>
      <th scope="row">
        <code>{name}</code>
      </th>
      <td>{is}</td>
      <td>{dtype}</td>
      <td>{shape === null ? 'not stated' : showShape(shape)}</td>
    </tr>
  );
}
