import type { TaskReport } from '@amalgam/contracts';
import { showNumber } from '../format.js';
import { Scroll, Section } from '../parts/section.js';
import { ShareBar } from './layer-shares.js';

const KINDS = [
  ['merged', 'Merged'],
  ['individual', 'Its own model'],
  ['base', 'Base'],
] as const;

/** How well the merged model does each task, beside the task's own model and the base. */
export function AccuracyTable({ tasks }: { tasks: readonly TaskReport[] }) {
  const labelled = tasks.filter(({ accuracy }) => accuracy !== null);
  const mean = (pick: (task: TaskReport) => number | null | undefined) => {
    const values = labelled.map((task) => pick(task) ?? null);
    return values.length === 0 || values.includes(null)
      ? null
      : values.reduce<number>((sum, value) => sum + (value ?? 0), 0) / values.length;
  };
  const rows = tasks.map((task) => ({
    name: task.name,
    rows: task.rows,
    accuracy: { merged: task.accuracy, individual: task.individual.accuracy, base: task.base?.accuracy ?? null },
    entropy: { merged: task.entropy, individual: task.individual.entropy, base: task.base?.entropy ?? null },
  }));
  const means = {
    merged: mean((task) => task.accuracy),
    individual: mean((task) => task.individual.accuracy),
    base: mean((task) => task.base?.accuracy),
  };
  return (
    <Section title="Accuracy by task">
      <Scroll label="Accuracy by task">
        <table className="accuracy">
          <thead>
            <tr>
              <th scope="col">Task</th>
              {KINDS.map(([kind, title]) => (
                <th key={kind} scope="col">
                  {title}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map(({ name, rows: samples, accuracy, entropy }) => (
              <tr key={name}>
                <th scope="row">
                  {name} <div className="dim">{samples} samples</div>
                </th>
                {KINDS.map(([kind]) => (
                  <td key={kind}>
                    <Bar kind={kind} share={accuracy[kind]} />
                    {entropy[kind] === null ? null : <div className="dim">entropy {showNumber(entropy[kind])}</div>}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
          {means.merged === null || labelled.length < 2 ? null : (
            <tfoot>
              <tr>
                <th scope="row">mean</th>
                {KINDS.map(([kind]) => (
                  <td key={kind}>
                    <Bar kind={kind} share={means[kind]} />
                  </td>
                ))}
              </tr>
            </tfoot>
          )}
        </table>
      </Scroll>
    </Section>
  );
}

function Bar({ kind, share }: { kind: string; share: number | null }) {
  if (share === null) return <span className="dim">no labels</span>;
  return <ShareBar kind={kind} share={share} />;
}
