import { LineChart } from '../charts/line-chart.js';
import { Section } from '../parts/section.js';
import type { TuningSeries } from './run.js';

/** Loss, and what each task adds to it, by step. */
export function TuningCharts({ series, tasks }: { series: TuningSeries; tasks: readonly string[] }) {
  const { steps, loss, byTask } = series;
  return (
    <div className="columns">
      <Section title="Loss">
        <LineChart label="Loss by step" x={steps} xName="step" lines={[{ name: 'sum over tasks', y: loss }]} />
      </Section>
      <Section title="Entropy by task">
        <LineChart
          label="Mean entropy of each task by step, in nats"
          x={steps}
          xName="step"
          lines={byTask.map((y, i) => ({ name: tasks[i] ?? `task ${i + 1}`, y }))}
        />
      </Section>
    </div>
  );
}
