import type { Coefficients, TensorReport } from '@amalgam/contracts';
import { useMemo } from 'react';
import { groupColumns } from '../charts/groups.js';
import { HeatMap } from '../charts/heat-map.js';
import { showNumber } from '../format.js';
import { Section } from '../parts/section.js';

/** What was learned: by tensor and model, or one number for each model. */
export function CoefficientMap({ coefficients, tensors }: { coefficients: Coefficients; tensors: TensorReport[] }) {
  const { models, values, clamp } = coefficients;
  const taskwise = coefficients.tensors.length === 1 && coefficients.tensors[0] === '*';
  const columns = useMemo(() => groupColumns(coefficients.tensors), [coefficients]);
  const norms = useMemo(() => new Map(tensors.map(({ name, norms: all }) => [name, all])), [tensors]);
  const rows = useMemo(() => {
    return models.map((name, model) => ({
      name,
      values: columns.map(({ index }) => values[index]?.[model] ?? Number.NaN),
    }));
  }, [models, values, columns]);
  const range = clamp === null ? '' : `, clamped to ${clamp[0]}–${clamp[1]} when merged`;
  if (taskwise) {
    return (
      <Section title="Coefficients">
        <dl className="facts">
          {models.map((name, i) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{showNumber(values[0]?.[i] ?? Number.NaN)}</dd>
            </div>
          ))}
        </dl>
        <p className="dim">One for each model, for all tensors{range}.</p>
      </Section>
    );
  }
  return (
    <Section title="Coefficients">
      <HeatMap
        label="Coefficients by tensor and model"
        columns={columns}
        rows={rows}
        describe={(column, row) => {
          const norm = norms.get(columns[column]?.name ?? '')?.[row];
          return norm === undefined ? '' : `norm of the task vector ${showNumber(norm)}`;
        }}
      />
      <p className="dim">As learned{range}.</p>
    </Section>
  );
}
