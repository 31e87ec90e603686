import type { Report } from '@amalgam/contracts';
import { useMemo } from 'react';
import { groupColumns } from '../charts/groups.js';
import { HeatMap } from '../charts/heat-map.js';
import { showShare } from '../format.js';
import { Section } from '../parts/section.js';

/** Which share of the task vectors was trimmed, and how often their signs disagree, tensor by tensor. */
export function TensorShares({ report }: { report: Report }) {
  const { tensors, inputs } = report;
  const columns = useMemo(() => groupColumns(tensors.map(({ name }) => name)), [tensors]);
  const models = useMemo(() => inputs.filter(({ role }) => role === 'model').map(({ name }) => name), [inputs]);
  const trimmed = useMemo(() => {
    if (!tensors.some((tensor) => tensor.trimmed !== undefined)) return null;
    return models.map((name, i) => ({
      name,
      values: columns.map(({ index }) => tensors[index]?.trimmed?.[i] ?? Number.NaN),
    }));
  }, [tensors, columns, models]);
  const conflicts = useMemo(() => {
    if (!tensors.some((tensor) => tensor.sign_conflicts !== undefined)) return null;
    const values = columns.map(({ index }) => tensors[index]?.sign_conflicts ?? Number.NaN);
    return [{ name: 'all models', values }];
  }, [tensors, columns]);
  return (
    <>
      {trimmed === null ? null : (
        <Section title="Trimmed share">
          <HeatMap
            label="Share of each task vector set to zero, by tensor"
            columns={columns}
            rows={trimmed}
            show={showShare}
          />
        </Section>
      )}
      {conflicts === null ? null : (
        <Section
          title="Sign conflicts"
          aside={report.sign_conflicts === undefined ? null : <span>{showShare(report.sign_conflicts)} in all</span>}
        >
          <HeatMap
            label="Share of entries whose surviving task vectors disagree in sign, by tensor"
            columns={columns}
            rows={conflicts}
            show={showShare}
          />
        </Section>
      )}
    </>
  );
}
