import { useMemo } from 'react';
import { LineChart } from '../charts/line-chart.js';
import { Section } from '../parts/section.js';
import type { TuningSeries } from './run.js';

/** Loss, and what each task adds to it, by step. */
export function TuningCharts({ series, tasks }: { series: TuningSeries; tasks: readonly string[] }) {
  const { steps, loss, byTask } = series;
  const window = windowOf(steps.length);
  const sum = useMemo(() => [{ name: 'sum over tasks', y: loss }], [loss]);
  const lines = useMemo(() => byTask.map((y, i) => ({ name: tasks[i] ?? `task ${i + 1}`, y })), [byTask, tasks]);
  return (
    <div className="columns">
      <Section title="Loss">
        <LineChart label="Loss by step" x={steps} xName="step" lines={sum} window={window} />
      </Section>
      <Section title="Entropy by task">
        <LineChart
          label="Mean entropy of each task by step, in nats"
          x={steps}
          xName="step"
          lines={lines}
          window={window}
        />
      </Section>
    </div>
  );
}

/** Batches differ more than steps do: of a long series only a mean shows where it goes. */
function windowOf(points: number): number {
  return points < 40 ? 1 : Math.round(points / 20);
}
