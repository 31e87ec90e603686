import type { Attempt } from '@amalgam/contracts';
import { secondsBetween, showSeconds } from '../format.js';
import { Empty } from '../parts/notes.js';
import { ScrollTable } from '../parts/scroll-table.js';
import { Section } from '../parts/section.js';
import { StateBadge } from '../parts/state-badge.js';
import { Time, useNow } from '../parts/time.js';

/** Which workers tried, and what came of it. */
export function Attempts({ attempts }: { attempts: readonly Attempt[] }) {
  const now = useNow();
  return (
    <Section title="Attempts">
      {attempts.length === 0 ? (
        <Empty>No worker has begun it yet.</Empty>
      ) : (
        <ScrollTable label="Attempts" columns={['Number', 'State', 'Worker', 'Device', 'Started', 'Took']}>
          {attempts.map(({ number, state, worker, device, started_at, finished_at, error }) => (
            <tr key={number}>
              <th scope="row">{number}</th>
              <td>
                <StateBadge state={state} />
                {error === null ? null : (
                  <div className="why">
                    <code>{error.code}</code> {error.detail}
                  </div>
                )}
              </td>
              <td>
                <code>{worker}</code>
              </td>
              <td>{device ?? <span className="dim">not said</span>}</td>
              <td>
                <Time at={started_at} />
              </td>
              <td>{showSeconds(secondsBetween(started_at, finished_at, now) ?? 0)}</td>
            </tr>
          ))}
        </ScrollTable>
      )}
    </Section>
  );
}
