import type { Graph } from '@amalgam/contracts';
import { Scroll, Section } from '../parts/section.js';
import { showShape } from './dataset-tensors.js';

/** What a graph takes, what it gives, and of which operators it consists. */
export function GraphContents({ graph }: { graph: Graph }) {
  const operators = Object.entries(graph.operators).sort(([, a], [, b]) => b - a);
  return (
    <div className="columns">
      <Section title="Inputs and outputs">
        <Scroll label="Inputs and outputs">
          <table>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Is</th>
                <th scope="col">Dtype</th>
                <th scope="col">Shape</th>
              </tr>
            </thead>
            <tbody>
              {graph.inputs.map((value) => (
                <Value key={`in ${value.name}`} is="input" value={value} />
              ))}
              {graph.outputs.map((value) => (
                <Value key={`out ${value.name}`} is="output" value={value} />
              ))}
            </tbody>
          </table>
        </Scroll>
      </Section>
      <Section title="Operators">
        <Scroll label="Operators" tall>
          <table>
            <thead>
              <tr>
                <th scope="col">Operator</th>
                <th scope="col">Nodes</th>
              </tr>
            </thead>
            <tbody>
              {operators.map(([name, nodes]) => (
                <tr key={name}>
                  <th scope="row">
                    <code>{name}</code>
                  </th>
                  <td>{nodes}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
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
